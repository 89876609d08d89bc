#include "client/client_options.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/typed_command_line.h"

namespace gptvq {
namespace {

using testing::HasSubstr;

TEST(ClientOptionsRefusals, UnknownFlagsEndEveryCommandWithTwo) {
  for (const std::string& name : CommandNames()) {
    TypedCommandLine client;

    EXPECT_EQ(client.Parse(Typed(name, {"--no-such-flag"})).exit_code, 2) << name;
    EXPECT_THAT(client.err.str(), HasSubstr("gptvq-client " + name + ": unknown flag '--no-such-flag'"));
    EXPECT_EQ(client.out.str(), "");
  }
}

TEST(ClientOptionsRefusals, WhatACommandNeedsIsNamedWhenItIsMissing) {
  const std::map<std::string, Words> needed = {{"submit", {"--model", "--calibration", "--output"}},
                                               {"quantize", {"--model", "--calibration", "--output"}},
                                               {"get", {"JOB"}},
                                               {"watch", {"JOB"}},
                                               {"wait", {"JOB"}},
                                               {"cancel", {"JOB"}},
                                               {"report", {"JOB"}},
                                               {"release", {"WORKER"}},
                                               {"verify", {"DIRECTORY"}},
                                               {"inspect", {"DIRECTORY"}},
                                               {"eval", {"DIRECTORY", "--text"}},
                                               {"export", {"DIRECTORY", "--output"}},
                                               {"linear", {"--weight", "--hessian", "--output"}},
                                               {"calibration", {"ACTION", "--model", "--calibration"}},
                                               {"completion", {"SHELL"}}};
  for (const auto& [name, parts] : needed) {
    for (const std::string& part : parts) {
      Words words = Typed(name);
      const auto flag = std::find(words.begin(), words.end(), part);
      // Without the flag and its value, or without the argument, which is the first word.
      flag == words.end() ? words.erase(words.begin() + 1) : words.erase(flag, flag + 2);
      TypedCommandLine client;

      EXPECT_EQ(client.Parse(words).exit_code, 2) << name << " without " << part;
      EXPECT_THAT(client.err.str(), HasSubstr(part + " is missing"));
    }
  }
}

TEST(ClientOptionsRefusals, FlagWithoutItsValueIsNamed) {
  for (const char* flag : {"--coordinator", "--samples", "--preset", "--vector-dim", "--damping", "--format"}) {
    TypedCommandLine client;

    EXPECT_EQ(client.Parse(Typed("submit", {flag})).exit_code, 2) << flag;
    EXPECT_THAT(client.err.str(), HasSubstr(std::string(flag) + " needs a value"));
  }
}

TEST(ClientOptionsRefusals, ValuesOutOfRangeEndWithTwoAndNameFlagAndRange) {
  struct Refusal {
    const char* command;
    Words flag_and_value;
    const char* expected;
  };
  const std::vector<Refusal> refusals = {
      {"submit", {"--vector-dim", "5"}, "must be a whole number from 1 to 4"},
      {"submit", {"--index-bits", "9"}, "must be a whole number from 1 to 8"},
      {"submit", {"--group-weights", "16777217"}, "must be a whole number from 1 to 16777216"},
      {"submit", {"--columns-per-group", "8"}, "must be a whole number from 16 to 65536"},
      {"submit", {"--block-scale-columns", "-1"}, "must be a whole number from 0 to 65536"},
      {"submit", {"--svd-rank-fraction", "1.5"}, "must be a number from 0 to 1"},
      {"submit", {"--em-iterations", "10001"}, "must be a whole number from 0 to 10000"},
      {"submit", {"--update-iterations", "x"}, "must be a whole number from 0 to 10000"},
      {"submit", {"--refinement-passes", "1.0"}, "must be a whole number from 0 to 10000"},
      {"submit", {"--uniform-bits", "1"}, "must be a whole number from 2 to 8"},
      {"submit", {"--uniform-group-columns", "32"}, "must be a whole number from 64 to 128"},
      {"submit", {"--damping", "nan"}, "must be a number from 0 to 1"},
      {"submit", {"--propagation", "both"}, "must be one of sequential|parallel"},
      {"submit", {"--shard-layers", "-1"}, "must be a whole number from 0 to 100000"},
      {"submit", {"--samples", "0"}, "must be a whole number from 1 to 65536"},
      {"submit", {"--sequence-length", "1"}, "must be a whole number from 2 to 131072"},
      {"submit", {"--evaluation-tokens", "-1"}, "must be a whole number from 0 to"},
      {"submit", {"--seed", "18446744073709551616"}, "must be a whole number from 0 to 18446744073709551615"},
      {"submit", {"--format", "html"}, "must be one of text|json|name"},
      {"list", {"--limit", "0"}, "must be a whole number from 1 to 100000"},
      {"wait", {"--timeout", "soon"}, "must be a duration"},
      {"report", {"--format", "name"}, "must be one of text|json|html"},
      {"quantize", {"--workers", "0"}, "must be a whole number from 1 to 64"},
      {"quantize", {"--threads", "-1"}, "must be a whole number from 0 to 1024"},
      {"quantize", {"--device", "gpu"}, "must be auto, cpu, cuda, or cuda:N,M"},
      {"eval", {"--device", "cuda:x"}, "must be auto, cpu, cuda, or cuda:N,M"},
      {"linear", {"--device", "cuda:0,0"}, "must be auto, cpu, cuda, or cuda:N,M"},
      {"eval", {"--sequence-length", "1"}, "must be a whole number from 2 to 131072"},
      {"linear", {"--threads", "1025"}, "must be a whole number from 0 to 1024"},
  };
  for (const Refusal& refusal : refusals) {
    TypedCommandLine client;

    EXPECT_EQ(client.Parse(Typed(refusal.command, refusal.flag_and_value)).exit_code, 2)
        << refusal.command << " " << refusal.flag_and_value.front();
    EXPECT_THAT(client.err.str(),
                HasSubstr(refusal.flag_and_value[0] + " '" + refusal.flag_and_value[1] + "': " + refusal.expected));
  }
}

}  // namespace
}  // namespace gptvq

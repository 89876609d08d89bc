#ifndef GPTVQ_TESTS_CLIENT_TYPED_COMMAND_LINE_H_
#define GPTVQ_TESTS_CLIENT_TYPED_COMMAND_LINE_H_

#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "client/client_options.h"

namespace gptvq {

using Words = std::vector<std::string>;

// gptvq-client, what was typed, and what it printed.
struct TypedCommandLine {
  ClientOptions options;
  std::map<std::string, std::string> variables;
  std::ostringstream out;
  std::ostringstream err;

  ParsedCommandLine Parse(const Words& words) {
    CommandLine line({.name = "gptvq-client", .summary = "A client."}, [this](const std::string& variable) {
      const auto it = variables.find(variable);
      return it == variables.end() ? std::nullopt : std::optional(it->second);
    });
    DeclareCommands(line, options);
    std::vector<const char*> argv = {"gptvq-client"};
    for (const std::string& word : words) argv.push_back(word.c_str());
    return line.Parse(static_cast<int>(argv.size()), argv.data(), out, err);
  }
};

// The least that each command can be called with.
inline const std::map<std::string, Words>& LeastArguments() {
  static const auto& arguments =
      *new std::map<std::string, Words>{{"submit", {"--model", "m", "--calibration", "c", "--output", "o"}},
                                        {"get", {"job-1"}},
                                        {"list", {}},
                                        {"watch", {"job-1"}},
                                        {"wait", {"job-1"}},
                                        {"cancel", {"job-1"}},
                                        {"report", {"job-1"}},
                                        {"workers", {}},
                                        {"doctor", {}},
                                        {"release", {"worker-1"}},
                                        {"quantize", {"--model", "m", "--calibration", "c", "--output", "o"}},
                                        {"verify", {"dir"}},
                                        {"inspect", {"dir"}},
                                        {"eval", {"dir", "--text", "t"}},
                                        {"export", {"dir", "--output", "o"}},
                                        {"linear", {"--weight", "f:w", "--hessian", "f:h", "--output", "o"}},
                                        {"calibration", {"inspect", "--model", "m", "--calibration", "c"}},
                                        {"presets", {}},
                                        {"completion", {"bash"}},
                                        {"version", {}}};
  return arguments;
}

// `name` with the least it needs and `more`.
inline Words Typed(const std::string& name, const Words& more = {}) {
  Words words = {name};
  words.insert(words.end(), LeastArguments().at(name).begin(), LeastArguments().at(name).end());
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CLIENT_TYPED_COMMAND_LINE_H_

#include "client/commands/about_commands.h"

#include <sstream>
#include <string>
#include <vector>

#include "client/client_options.h"
#include "core/spec/presets.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace gptvq {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// Where a command prints.
struct Printed {
  std::ostringstream out, err;
  Terminal terminal{out, err};
};

json PresetNamed(const json& presets, const std::string& name) {
  for (const json& preset : presets) {
    if (preset["name"] == name) return preset;
  }
  return nullptr;
}

TEST(Presets, JsonNamesAllOfThemWithTheirBits) {
  Printed printed;

  EXPECT_EQ(Presets(OutputFormat::kJson, printed.terminal), ExitCode::kOk);

  const json presets = json::parse(printed.out.str());
  ASSERT_EQ(presets.size(), AllPresets().size());
  for (std::size_t i = 0; i < presets.size(); ++i) {
    EXPECT_EQ(presets[i]["name"], AllPresets()[i].name);
    EXPECT_GT(presets[i]["bits_per_value"], 2) << presets[i]["name"];
    EXPECT_LT(presets[i]["bits_per_value"], 9) << presets[i]["name"];
  }
}

TEST(Presets, BitsAreExactOnTheExampleLinear) {
  Printed printed;

  Presets(OutputFormat::kJson, printed.terminal);

  const json presets = json::parse(printed.out.str());
  // 3 bits of index; 64 x 2 codes of 8 bits and a scale of 16 for 8192 weights.
  EXPECT_NEAR(PresetNamed(presets, "2d-3.125bpv")["bits_per_value"], 3 + (64 * 2 * 8 + 16) / 8192.0, 1e-6);
  // 3 bits of code; a scale of 16 and a zero point of 3 for 128 weights.
  EXPECT_NEAR(PresetNamed(presets, "rtn-3bit-g128")["bits_per_value"], 3 + (16 + 3) / 128.0, 1e-6);
}

TEST(Presets, TextHasALineForEach) {
  Printed printed;

  EXPECT_EQ(Presets(OutputFormat::kText, printed.terminal), ExitCode::kOk);

  for (const Preset& preset : AllPresets()) EXPECT_THAT(printed.out.str(), HasSubstr("\n" + preset.name + " "));
}

TEST(Completion, EveryShellKnowsEveryCommand) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    Printed printed;

    EXPECT_EQ(Completion(shell, CommandNames(), printed.terminal), ExitCode::kOk);

    for (const std::string& name : CommandNames()) EXPECT_THAT(printed.out.str(), HasSubstr(name)) << shell;
  }
}

TEST(Completion, UnknownShellIsAUsageError) {
  Printed printed;

  EXPECT_EQ(Completion("tcsh\033[2J", CommandNames(), printed.terminal), ExitCode::kUsage);

  EXPECT_EQ(printed.err.str(), "error: no completion for 'tcsh?[2J'; allowed: bash, zsh, fish\n");
  EXPECT_EQ(printed.out.str(), "");
}

}  // namespace
}  // namespace gptvq

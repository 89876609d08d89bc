#include "core/json/strict_json.h"

#include <string>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(StrictJson, ReadsWhatRfc8259Allows) {
  const auto value = ParseStrictJson("\xEF\xBB\xBF {\"a\": [1, -2.5, \"\\u00e9\", true, null], \"b\": {}}");

  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ((*value)["a"][1], -2.5);
  EXPECT_EQ((*value)["a"][2], "é");
  EXPECT_TRUE((*value)["b"].is_object());
}

TEST(StrictJson, RefusesDuplicateKeysAtAnyDepth) {
  const auto value = ParseStrictJson("{\"a\": {\"x\": 1, \"x\": 2}}");

  EXPECT_EQ(value.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(value.status().message().find("'x'"), std::string::npos) << value.status();
}

TEST(StrictJson, NamesTheLineOfAnError) {
  const auto value = ParseStrictJson("{\n  \"a\": 1,\n}");

  EXPECT_NE(value.status().message().find("line 3"), std::string::npos) << value.status();
}

TEST(StrictJson, RefusesMalformedTexts) {
  for (const char* text : {"", "{", "[1,]", "{\"a\":1,}", "1 2", "nul", "\"\xff\"", "[1e999]", "// c\n1", "{a:1}"}) {
    EXPECT_FALSE(ParseStrictJson(text).ok()) << text;
  }
}

TEST(StrictJson, RefusesWhatFollowsANulByte) {
  const auto value = ParseStrictJson(std::string_view("{}\0}", 4));

  EXPECT_NE(value.status().message().find("byte 2 is NUL"), std::string::npos) << value.status();
}

TEST(StrictJson, EnforcesItsLimits) {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  EXPECT_EQ(ParseStrictJson(deep).status(), absl::InvalidArgumentError("nested deeper than 32 levels"));
  EXPECT_EQ(ParseStrictJson("[1,2,3]", {.max_bytes = 6}).status(),
            absl::InvalidArgumentError("JSON of 7 bytes, more than the limit of 6"));
  EXPECT_EQ(ParseStrictJson("[1,2,3]", {.max_values = 3}).status(), absl::InvalidArgumentError("more than 3 values"));
  EXPECT_TRUE(ParseStrictJson("[1,2,3]", {.max_values = 4}).ok());
}

}  // namespace
}  // namespace gptvq

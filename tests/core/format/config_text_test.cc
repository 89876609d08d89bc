#include "core/format/config_text.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

constexpr char kConfig[] =
    "{\n"
    "  \"zeta\": [1, {\"quantization_config\": 2}, \"}\\\"{\"],\n"
    "  \"rope_theta\": 1e4,\n"
    "  \"unknown\" : null\n"
    "}\n";

// docs/format.md 7.1.
TEST(ConfigText, AddsAKeyAndLeavesEveryOtherByte) {
  const auto text = AddTopLevelKey(kConfig, "quantization_config", "{\n  \"a\": 1\n}");

  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text,
            "{\n"
            "  \"zeta\": [1, {\"quantization_config\": 2}, \"}\\\"{\"],\n"
            "  \"rope_theta\": 1e4,\n"
            "  \"unknown\" : null,\n"
            "  \"quantization_config\": {\n"
            "    \"a\": 1\n"
            "  }\n"
            "}\n");
}

TEST(ConfigText, RemovesExactlyWhatItAdded) {
  for (const std::string& text :
       {std::string(kConfig), std::string("{}"), std::string("{ }"), std::string("{\"a\":1}"),
        std::string("{\"a\":1,\"b\":[]}\n\n"), std::string("\xEF\xBB\xBF{\n\t\"a\": \"x\\\\\"\n}"),
        std::string("  {\r\n  \"a\": true\r\n}\r\n"), std::string("{\"a\": -1.5e3 , \"b\": {\"k\": {}}  }")}) {
    SCOPED_TRACE(text);
    const auto added = AddTopLevelKey(text, "k", "{\n  \"x\": [1,\n 2]\n}");
    ASSERT_TRUE(added.ok()) << added.status();
    EXPECT_NE(*added, text);

    const auto removed = RemoveTopLevelKey(*added, "k");

    ASSERT_TRUE(removed.ok()) << removed.status();
    EXPECT_EQ(*removed, text);
  }
}

TEST(ConfigText, RemovesTheFirstTheMiddleAndTheOnlyKey) {
  EXPECT_EQ(*RemoveTopLevelKey("{\"a\": 1, \"b\": 2, \"c\": 3}", "a"), "{\"b\": 2, \"c\": 3}");
  EXPECT_EQ(*RemoveTopLevelKey("{\"a\": 1, \"b\": [2], \"c\": 3}", "b"), "{\"a\": 1, \"c\": 3}");
  EXPECT_EQ(*RemoveTopLevelKey("{\"a\": 1}", "a"), "{}");
}

TEST(ConfigText, ReplacesAValueInItsPlace) {
  EXPECT_EQ(*ReplaceTopLevelValue("{\"a\": {\"a\": 0}, \"b\": 1}", "b", "\"x\""), "{\"a\": {\"a\": 0}, \"b\": \"x\"}");
  EXPECT_EQ(*ReplaceTopLevelValue("{\"a\":true,\"b\":1}", "a", "2"), "{\"a\":2,\"b\":1}");
}

TEST(ConfigText, FindsAKeyHoweverItIsSpelled) {
  EXPECT_EQ(AddTopLevelKey(R"({"\u006b":1})", "k", "2").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(*ReplaceTopLevelValue(R"({"a\/b":1,"k":2})", "a/b", "3"), R"({"a\/b":3,"k":2})");
  EXPECT_EQ(*RemoveTopLevelKey(R"({"\"}":1, "\ud83d\ude00":2})", "\xF0\x9F\x98\x80"), R"({"\"}":1})");
}

TEST(ConfigText, RefusesWhatItCanNotEdit) {
  EXPECT_EQ(AddTopLevelKey("[]", "k", "1").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AddTopLevelKey("{\"a\":1,}", "k", "1").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AddTopLevelKey("{\"k\":1}", "k", "1").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(RemoveTopLevelKey("{\"a\":{\"k\":1}}", "k").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReplaceTopLevelValue("{}", "k", "1").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace gptvq

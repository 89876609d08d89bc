#include "core/text/text_normalizer.h"

#include <string>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(TextNormalizer, RunsItsStepsInOrder) {
  const TextNormalizer llama({PrependStep{"_"}, ReplaceStep{" ", "_"}});

  EXPECT_EQ(*llama.Normalize("a  b"), "_a__b");
  EXPECT_EQ(*llama.Normalize(""), "");
  EXPECT_EQ(*TextNormalizer({NfcStep{}}).Normalize("e\u0301"), "\u00e9");
  EXPECT_EQ(*TextNormalizer({ReplaceStep{"aa", "b"}}).Normalize("aaaaa"), "bba");
}

TEST(TextNormalizer, CollapsesSpacesAndTrimsTheEnd) {
  const TextNormalizer collapse({CollapseSpacesStep{}, TrimEndStep{" "}});

  EXPECT_EQ(*collapse.Normalize("  a   b \t  "), "a b \t");
  EXPECT_EQ(*collapse.Normalize("   "), "");
}

TEST(TextNormalizer, RefusesToGrowATextWithoutBound) {
  const TextNormalizer bomb({ReplaceStep{"a", "aaaaaaaa"}, ReplaceStep{"a", "aaaaaaaa"}, ReplaceStep{"a", "aaaaaaaa"}});

  EXPECT_EQ(bomb.Normalize(std::string(1000, 'a')).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace gptvq

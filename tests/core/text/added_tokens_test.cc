#include "core/text/added_tokens.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// The stretches of text as they are, the tokens as #id.
std::vector<std::string> Cut(const AddedTokens& tokens, std::string_view text) {
  std::vector<std::string> parts;
  tokens.Cut(
      text, [&](std::string_view stretch) { parts.emplace_back(stretch); },
      [&](TokenId id) { parts.push_back("#" + std::to_string(id)); });
  return parts;
}

TEST(AddedTokens, TakesTheLongestPatternFromTheLeft) {
  const AddedTokens tokens({{.pattern = "<a", .id = 1}, {.pattern = "<a>", .id = 2}, {.pattern = "a>b", .id = 3}});

  EXPECT_THAT(Cut(tokens, "x<a>b<a"), ElementsAre("x", "#2", "b", "#1"));
  EXPECT_THAT(Cut(tokens, "a>b<a>"), ElementsAre("#3", "#2"));
  EXPECT_THAT(Cut(tokens, ""), IsEmpty());
  EXPECT_THAT(Cut(tokens, "<b"), ElementsAre("<b"));
}

TEST(AddedTokens, SwallowsWhiteSpaceWhereTold) {
  const AddedTokens tokens({{.pattern = "L", .id = 1, .before = AddedToken::Whitespace::kSwallow},
                            {.pattern = "R", .id = 2, .after = AddedToken::Whitespace::kSwallow}});

  EXPECT_THAT(Cut(tokens, "a \u3000L b"), ElementsAre("a", "#1", " b"));
  EXPECT_THAT(Cut(tokens, "a R\n b"), ElementsAre("a ", "#2", "b"));
  EXPECT_THAT(Cut(tokens, "R  L"), ElementsAre("#2", "#1"));
}

// As in the reference, a token all of whose white space was swallowed by the one before it disappears.
TEST(AddedTokens, ATokenOfWhiteSpaceCanBeSwallowedByTheOneBefore) {
  const AddedTokens tokens({{.pattern = "\n\n",
                             .id = 7,
                             .before = AddedToken::Whitespace::kSwallow,
                             .after = AddedToken::Whitespace::kSwallow}});

  EXPECT_THAT(Cut(tokens, "a\n\n\n\nb"), ElementsAre("a", "#7", "b"));
}

TEST(AddedTokens, MatchesWholeWordsOnlyWhereTold) {
  const AddedTokens tokens({{.pattern = "ing", .id = 1, .match = AddedToken::Match::kWholeWord}});

  EXPECT_THAT(Cut(tokens, "going ing-ing \u00e9ing"), ElementsAre("going ", "#1", "-", "#1", " \u00e9ing"));
}

}  // namespace
}  // namespace gptvq

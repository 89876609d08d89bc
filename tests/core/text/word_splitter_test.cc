#include "core/text/word_splitter.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|)"
    R"(\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kTekken = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
                                R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
                                R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

std::vector<std::string> Words(const WordSplitter& splitter, std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = splitter.WordEnd(text, begin);
    words.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return words;
}

std::vector<std::string> Words(const char* regex, std::string_view text) {
  const auto splitter = WordSplitter::ForRegex(regex);
  EXPECT_TRUE(splitter.ok()) << splitter.status();
  return splitter.ok() ? Words(**splitter, text) : std::vector<std::string>{};
}

TEST(WordSplitter, Gpt2KeepsOneSpaceWithAWordAndTheRestApart) {
  EXPECT_THAT(Words(WordSplitter::Gpt2(), "Hello   world's 123abc!? \n x"),
              ElementsAre("Hello", "  ", " world", "'s", " 123", "abc", "!?", " \n", " x"));
  EXPECT_THAT(Words(WordSplitter::Gpt2(), "it'S we'll  "), ElementsAre("it", "'", "S", " we", "'ll", "  "));
}

TEST(WordSplitter, Llama3GroupsDigitsByThreeAndKeepsNewlinesTogether) {
  EXPECT_THAT(Words(kLlama3, "I'LL pay 12345$ now.\n\n  (x)"),
              ElementsAre("I", "'LL", " pay", " ", "123", "45", "$", " now", ".\n\n", " ", " (", "x", ")"));
  EXPECT_THAT(Words(kLlama3, "a \n \n b"), ElementsAre("a", " \n \n", " b"));
  EXPECT_THAT(Words(kLlama3, "'\u017f\tx"), ElementsAre("'\u017f", "\tx"));  // the long s folds to s
}

TEST(WordSplitter, Qwen2TakesDigitsOneByOne) {
  EXPECT_THAT(Words(kQwen2, "v12 3"), ElementsAre("v", "1", "2", " ", "3"));
}

TEST(WordSplitter, TekkenCutsWhereTheCaseRises) {
  EXPECT_THAT(Words(kTekken, "camelCase HTTPServer ABC/x/\n/y"),
              ElementsAre("camel", "Case", " HTTPServer", " ABC", "/x", "/\n/", "y"));
  // A mark counts as either case: the word ends behind the last one when no lower-case letter follows.
  EXPECT_THAT(Words(kTekken, "AB\u0301CD"), ElementsAre("AB\u0301", "CD"));
  EXPECT_THAT(Words(kTekken, "\u0301AB"), ElementsAre("\u0301", "AB"));
}

TEST(WordSplitter, O200kJoinsContractionsToTheirWord) {
  EXPECT_THAT(Words(kO200k, "We'LL see, DON'T 1234"), ElementsAre("We'LL", " see", ",", " DON'T", " ", "123", "4"));
}

TEST(WordSplitter, ALongRunIsOneWord) {
  const std::string run(1 << 20, 'a');
  for (const char* regex : {kLlama3, kQwen2, kTekken, kO200k}) EXPECT_THAT(Words(regex, run), ElementsAre(run));
}

TEST(WordSplitter, RefusesAnUnknownExpressionByName) {
  const auto status = WordSplitter::ForRegex("(a+)+$").status();

  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("(a+)+$"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("Llama 3"));
  EXPECT_LT(WordSplitter::ForRegex(std::string(1 << 20, 'x')).status().message().size(), 1000u);
}

}  // namespace
}  // namespace gptvq

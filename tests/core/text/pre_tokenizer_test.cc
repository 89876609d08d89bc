#include "core/text/pre_tokenizer.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> Words(const PreTokenizer& pre_tokenizer, std::string_view text,
                               PreTokenizer::Place place = PreTokenizer::Place::kStartOfText) {
  std::vector<std::string> words;
  pre_tokenizer.ForEachWord(text, place, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

TEST(PreTokenizer, WithoutStepsATextIsOneWord) {
  EXPECT_THAT(Words(PreTokenizer({}), "a b"), ElementsAre("a b"));
  EXPECT_THAT(Words(PreTokenizer({}), ""), IsEmpty());
}

TEST(PreTokenizer, SplitsDigitsBeforeTheExpressionSeesThem) {
  const PreTokenizer smollm({DigitsStep{DigitsStep::Grouping::kIndividual}, SplitStep{&WordSplitter::Gpt2()}});
  const PreTokenizer runs({DigitsStep{DigitsStep::Grouping::kRuns}});

  EXPECT_THAT(Words(smollm, "in 1999, ok"), ElementsAre("in", " ", "1", "9", "9", "9", ",", " ok"));
  EXPECT_THAT(Words(runs, "in 19\u06639, ok"), ElementsAre("in ", "19\u06639", ", ok"));
}

TEST(PreTokenizer, PutsASpaceBeforePiecesThatHaveNone) {
  const PreTokenizer prefix({PrefixSpaceStep{}, SplitStep{&WordSplitter::Gpt2()}});

  EXPECT_THAT(Words(prefix, "a b"), ElementsAre(" a", " b"));
  EXPECT_THAT(Words(prefix, " a"), ElementsAre(" a"));
}

TEST(PreTokenizer, MetaspaceMarksSpacesAndTheStart) {
  using Prepend = MetaspaceStep::Prepend;
  const PreTokenizer always({MetaspaceStep{"\u2581", Prepend::kAlways}});
  const PreTokenizer first({MetaspaceStep{"\u2581", Prepend::kFirst, MetaspaceStep::Cut::kWhole}});
  const PreTokenizer never({MetaspaceStep{"\u2581", Prepend::kNever}});

  EXPECT_THAT(Words(always, "Hey  you"), ElementsAre("\u2581Hey", "\u2581", "\u2581you"));
  EXPECT_THAT(Words(always, " Hey"), ElementsAre("\u2581Hey"));
  EXPECT_THAT(Words(first, "Hey you"), ElementsAre("\u2581Hey\u2581you"));
  EXPECT_THAT(Words(first, "Hey you", PreTokenizer::Place::kAfterToken), ElementsAre("Hey\u2581you"));
  EXPECT_THAT(Words(never, "Hey you"), ElementsAre("Hey", "\u2581you"));
}

TEST(PreTokenizer, OnlyTheFirstPieceIsTheStartOfTheText) {
  const PreTokenizer pre_tokenizer({DigitsStep{}, MetaspaceStep{"\u2581", MetaspaceStep::Prepend::kFirst}});

  EXPECT_THAT(Words(pre_tokenizer, "a1b"), ElementsAre("\u2581a", "1", "b"));
}

}  // namespace
}  // namespace gptvq

#include "core/text/bpe_model.h"

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<TokenId> Encode(const BpeModel& model, std::string_view word) {
  BpeModel::Scratch scratch;
  std::vector<TokenId> ids;
  model.EncodeWord(word, scratch, ids);
  return ids;
}

// The definition of the algorithm, word for word: as long as there is a merge, do the one of lowest rank, leftmost.
std::vector<TokenId> EncodeBySearch(const BpeDefinition& definition, std::vector<TokenId> symbols) {
  std::map<std::pair<TokenId, TokenId>, BpeMerge> merges;
  for (const BpeMerge& merge : definition.merges) merges[{merge.left, merge.right}] = merge;
  for (;;) {
    const BpeMerge* best = nullptr;
    std::size_t best_position = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = merges.find({symbols[i], symbols[i + 1]});
      if (found == merges.end() || (best != nullptr && found->second.rank >= best->rank)) continue;
      best = &found->second;
      best_position = i;
    }
    if (best == nullptr) return symbols;
    symbols[best_position] = best->result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best_position) + 1);
  }
}

// A vocabulary over `letters` in which every new token joins two older ones.
BpeDefinition RandomDefinition(std::mt19937& rng, const std::vector<std::string>& letters, int merge_count,
                               int ranks_per_level) {
  BpeDefinition definition;
  definition.tokens = letters;
  std::map<std::string, TokenId> known;
  for (std::size_t i = 0; i < letters.size(); ++i) known[letters[i]] = static_cast<TokenId>(i);
  while (definition.merges.size() < static_cast<std::size_t>(merge_count)) {
    const auto left = static_cast<TokenId>(rng() % definition.tokens.size());
    const auto right = static_cast<TokenId>(rng() % definition.tokens.size());
    const std::string joined = definition.tokens[left] + definition.tokens[right];
    if (joined.size() > 24) continue;
    const auto [entry, is_new] = known.emplace(joined, static_cast<TokenId>(definition.tokens.size()));
    if (is_new) definition.tokens.push_back(joined);
    definition.merges.push_back(
        {left, right, entry->second, static_cast<std::int32_t>(definition.merges.size()) / ranks_per_level});
  }
  return definition;
}

TEST(BpeModel, MergesAsTheDefinitionOfTheAlgorithm) {
  std::mt19937 rng(20240501);
  for (int round = 0; round < 200; ++round) {
    const BpeDefinition definition = RandomDefinition(rng, {"a", "b", "c"}, 40, 1);
    const BpeModel model(definition);
    std::string word;
    std::vector<TokenId> symbols;
    for (std::size_t i = rng() % 200; i > 0; --i) {
      symbols.push_back(static_cast<TokenId>(rng() % 3));
      word += definition.tokens[symbols.back()];
    }

    EXPECT_EQ(Encode(model, word), EncodeBySearch(definition, symbols)) << word;
  }
}

// Ties in rank, characters of several bytes, and space marks at which the model cuts a word: none of it may show.
TEST(BpeModel, SpaceMarksAndEqualRanksChangeNothing) {
  std::mt19937 rng(7);
  for (int round = 0; round < 300; ++round) {
    BpeDefinition definition = RandomDefinition(rng, {"a", "\u00e9", "\u2581"}, 1 + round % 20, 1 + round % 3);
    definition.alphabet = BpeDefinition::Alphabet::kCodePoints;
    const BpeModel model(definition);
    std::string word;
    std::vector<TokenId> symbols;
    for (std::size_t i = rng() % 100; i > 0; --i) {
      symbols.push_back(static_cast<TokenId>(rng() % 3));
      word += definition.tokens[symbols.back()];
    }

    EXPECT_EQ(Encode(model, word), EncodeBySearch(definition, symbols)) << word;
  }
}

TEST(BpeModel, ALongWordTakesTimeLikeItsLength) {
  BpeDefinition definition;
  definition.tokens = {"a", "aa", "aaaa"};
  definition.merges = {{0, 0, 1, 0}, {1, 1, 2, 1}};
  const std::string word(1 << 20, 'a');  // quadratic merging would take hours

  const auto ids = Encode(BpeModel(definition), word);

  EXPECT_EQ(ids, std::vector<TokenId>(1 << 18, 2));
}

TEST(BpeModel, LooksUpWholeWordsFirstWhereTold) {
  BpeDefinition definition;
  definition.tokens = {"a", "b", "ab", "aba"};
  definition.merges = {{0, 1, 2, 0}};
  const BpeModel merging(definition);
  definition.whole_words = BpeDefinition::WholeWords::kLookUpFirst;
  const BpeModel looking_up(definition);

  EXPECT_THAT(Encode(merging, "aba"), ElementsAre(2, 0));
  EXPECT_THAT(Encode(looking_up, "aba"), ElementsAre(3));
  EXPECT_THAT(Encode(looking_up, "abab"), ElementsAre(2, 2));
}

TEST(BpeModel, FallsBackToBytesThenToUnknownThenToNothing) {
  BpeDefinition definition;
  definition.alphabet = BpeDefinition::Alphabet::kCodePoints;
  definition.tokens = {"<unk>", "a", "", ""};
  EXPECT_THAT(Encode(BpeModel(definition), "a\u00e9\u00e9a"), ElementsAre(1, 1));

  definition.unknown = 0;
  EXPECT_THAT(Encode(BpeModel(definition), "a\u00e9\u00e9a"), ElementsAre(1, 0, 0, 1));
  definition.unknown_runs = BpeDefinition::UnknownRuns::kFused;
  EXPECT_THAT(Encode(BpeModel(definition), "a\u00e9\u00e9a"), ElementsAre(1, 0, 1));

  definition.byte_tokens.emplace().fill(-1);
  (*definition.byte_tokens)[0xc3] = 2;
  (*definition.byte_tokens)[0xa9] = 3;
  EXPECT_THAT(Encode(BpeModel(definition), "\u00e9\u00ea"), ElementsAre(2, 3, 0));  // U+00EA lacks a byte
  EXPECT_THAT(Encode(BpeModel(definition), ""), IsEmpty());
}

}  // namespace
}  // namespace gptvq

#ifndef GPTVQ_CORE_TEXT_BPE_MODEL_H_
#define GPTVQ_CORE_TEXT_BPE_MODEL_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "core/text/tokenizer.h"

namespace gptvq {

// Byte-pair encoding (Sennrich et al., "Neural machine translation of rare words with subword units", 2016) over a
// given vocabulary: a word becomes one symbol per character or byte; then, as long as two neighbours have a merge, the
// pair of the lowest rank, leftmost first, becomes one symbol.

struct BpeMerge {
  TokenId left = 0;
  TokenId right = 0;
  TokenId result = 0;
  std::int32_t rank = 0;  // lower merges first; equal ranks from left to right
};

// The model as the loaders of tokenizer.json and tokenizer.model describe it.
struct BpeDefinition {
  // What a word is cut into at first: bytes (byte-level BPE) or code points (SentencePiece).
  enum class Alphabet { kBytes, kCodePoints };
  // Neighbouring characters without a token: one unknown token each, or one for the run.
  enum class UnknownRuns { kSeparate, kFused };
  // Whether a word that is a token as a whole is taken as that token before any merge ("ignore_merges").
  enum class WholeWords { kMerge, kLookUpFirst };

  Alphabet alphabet = Alphabet::kBytes;
  std::vector<std::string> tokens;  // by id, as they occur in words; empty where the model has no such token
  std::vector<BpeMerge> merges;     // of two merges of the same pair the last counts
  // The token for a character that has none; without it such a character yields nothing.
  std::optional<TokenId> unknown;
  UnknownRuns unknown_runs = UnknownRuns::kSeparate;
  // kCodePoints only: the token of each byte (-1: none) for characters that have no token; used before `unknown`.
  std::optional<std::array<TokenId, 256>> byte_tokens;
  WholeWords whole_words = WholeWords::kMerge;
};

// Immutable; EncodeWord may be called from any number of threads, each with its own Scratch.
class BpeModel {
 public:
  // Buffers and the cache of words already encoded, for one text. Thread-compatible; owns its memory (at most some 10
  // MB beyond the longest word).
  class Scratch {
   public:
    Scratch();
    ~Scratch();

   private:
    friend class BpeModel;
    struct Buffers;
    std::unique_ptr<Buffers> buffers_;
  };

  // Preconditions: every id named in `definition` is a valid index of definition.tokens.
  explicit BpeModel(BpeDefinition definition);

  // Appends the ids of one word (what a pre-tokenizer hands over). Time O(n log n) in its bytes.
  // Precondition: `word` is well-formed UTF-8 of less than 2 GiB.
  void EncodeWord(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids_out) const;

 private:
  struct PairMerge {
    std::int32_t rank = 0;
    TokenId result = 0;
  };

  void FindSpaceJoints(const BpeDefinition& definition);
  // The end of the stretch from `begin` on that no merge can leave; word.size() when the word is in one piece.
  std::size_t StretchEnd(std::string_view word, std::size_t begin) const;
  void EncodeStretch(std::string_view stretch, Scratch::Buffers& buffers, std::vector<TokenId>& ids_out) const;
  void AppendInitialSymbols(std::string_view stretch, Scratch::Buffers& buffers) const;
  void AppendBytesOrUnknown(std::string_view character, bool& unknown_pending, Scratch::Buffers& buffers) const;
  void MergeSymbols(Scratch::Buffers& buffers) const;
  const PairMerge* FindMerge(TokenId left, TokenId right) const;

  BpeDefinition::Alphabet alphabet_;
  std::optional<TokenId> unknown_;
  BpeDefinition::UnknownRuns unknown_runs_;
  std::optional<std::array<TokenId, 256>> byte_tokens_;
  std::array<TokenId, 256> byte_symbols_{};                    // kBytes: by byte; kCodePoints: ASCII; -1: none
  absl::flat_hash_map<char32_t, TokenId> code_point_symbols_;  // kCodePoints beyond ASCII
  absl::flat_hash_map<std::uint64_t, PairMerge> merges_;       // by left << 32 | right
  absl::flat_hash_map<std::string, TokenId> whole_words_;      // only for kLookUpFirst

  // SentencePiece models get a whole text as one word. It falls apart before every U+2581 (the space mark) whose left
  // neighbour never stands left of a U+2581 inside a token: no merge can cross that place. Words become short, and
  // cached.
  bool splits_at_space_mark_ = false;
  absl::flat_hash_set<char32_t> joins_space_mark_;  // code points that do stand there
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_BPE_MODEL_H_

#include "core/text/bpe_model.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "core/base/check.h"
#include "core/text/sentencepiece_spelling.h"
#include "core/text/unicode.h"

namespace gptvq {
namespace {

constexpr std::int32_t kNoMerge = std::numeric_limits<std::int32_t>::max();

// A place in the chain of symbols of a word. A symbol that was merged into its left neighbour has id -1.
struct Symbol {
  TokenId id = 0;
  std::int32_t previous = -1;
  std::int32_t next = -1;
  std::int32_t pair_rank = kNoMerge;  // of the merge with the next symbol
  TokenId pair_result = 0;
};

std::uint64_t PairKey(TokenId left, TokenId right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}

}  // namespace

struct BpeModel::Scratch::Buffers {
  static constexpr std::size_t kMaxCachedWords = 1 << 16;
  static constexpr std::size_t kMaxCachedWordBytes = 48;

  struct CachedWord {
    std::uint32_t begin = 0;
    std::uint32_t count = 0;
  };

  std::vector<Symbol> symbols;
  // rank << 32 | position of the left symbol: the smallest is the next merge.
  std::vector<std::uint64_t> candidates;
  absl::flat_hash_map<std::string, CachedWord> cache;
  std::vector<TokenId> cached_ids;
};

BpeModel::Scratch::Scratch() : buffers_(std::make_unique<Buffers>()) {}
BpeModel::Scratch::~Scratch() = default;

BpeModel::BpeModel(BpeDefinition definition)
    : alphabet_(definition.alphabet),
      unknown_(definition.unknown),
      unknown_runs_(definition.unknown_runs),
      byte_tokens_(definition.byte_tokens) {
  byte_symbols_.fill(-1);
  for (std::size_t id = 0; id < definition.tokens.size(); ++id) {
    const std::string& token = definition.tokens[id];
    if (token.empty()) continue;
    const auto value = static_cast<TokenId>(id);
    if (alphabet_ == BpeDefinition::Alphabet::kBytes) {
      if (token.size() == 1) byte_symbols_[static_cast<unsigned char>(token[0])] = value;
    } else if (const unicode::Character c = unicode::DecodeAt(token, 0); c.end == token.size()) {
      if (c.code_point < 0x80) byte_symbols_[c.code_point] = value;
      code_point_symbols_[c.code_point] = value;
    }
    if (definition.whole_words == BpeDefinition::WholeWords::kLookUpFirst) whole_words_[token] = value;
  }
  merges_.reserve(definition.merges.size());
  for (const BpeMerge& merge : definition.merges) {
    merges_[PairKey(merge.left, merge.right)] = {merge.rank, merge.result};
  }
  if (alphabet_ == BpeDefinition::Alphabet::kCodePoints && whole_words_.empty()) FindSpaceJoints(definition);
}

void BpeModel::FindSpaceJoints(const BpeDefinition& definition) {
  if (!code_point_symbols_.contains(kSpaceMark)) return;
  std::vector<bool> is_byte_token(definition.tokens.size());
  if (byte_tokens_.has_value()) {
    for (const TokenId id : *byte_tokens_) {
      if (id >= 0) is_byte_token[id] = true;
    }
  }
  for (const BpeMerge& merge : definition.merges) {
    // A byte token's spelling, <0x0A>, is not the text it stands for.
    if (is_byte_token[merge.left] || is_byte_token[merge.right]) return;
    const std::string& token = definition.tokens[merge.result];
    char32_t left = kSpaceMark;
    for (std::size_t position = 0; position < token.size();) {
      const unicode::Character c = unicode::DecodeAt(token, position);
      if (c.code_point == kSpaceMark && position > 0) joins_space_mark_.insert(left);
      left = c.code_point;
      position = c.end;
    }
  }
  splits_at_space_mark_ = true;
}

void BpeModel::EncodeWord(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids_out) const {
  GPTVQ_CHECK(word.size() < std::size_t{std::numeric_limits<std::int32_t>::max()});
  if (!splits_at_space_mark_) {
    EncodeStretch(word, *scratch.buffers_, ids_out);
    return;
  }
  for (std::size_t begin = 0; begin < word.size();) {
    const std::size_t end = StretchEnd(word, begin);
    EncodeStretch(word.substr(begin, end - begin), *scratch.buffers_, ids_out);
    begin = end;
  }
}

std::size_t BpeModel::StretchEnd(std::string_view word, std::size_t begin) const {
  std::size_t mark = begin;
  for (;;) {
    mark = word.find(kSpaceMarkUtf8, mark + 1);
    if (mark == std::string_view::npos) return word.size();
    std::size_t left = mark - 1;
    while ((static_cast<unsigned char>(word[left]) & 0xc0) == 0x80) --left;
    if (!joins_space_mark_.contains(unicode::DecodeAt(word, left).code_point)) return mark;
  }
}

void BpeModel::EncodeStretch(std::string_view stretch, Scratch::Buffers& buffers, std::vector<TokenId>& ids_out) const {
  if (!whole_words_.empty()) {
    const auto whole = whole_words_.find(absl::string_view(stretch.data(), stretch.size()));
    if (whole != whole_words_.end()) {
      ids_out.push_back(whole->second);
      return;
    }
  }
  const bool is_cacheable = stretch.size() <= Scratch::Buffers::kMaxCachedWordBytes;
  if (is_cacheable) {
    const auto cached = buffers.cache.find(absl::string_view(stretch.data(), stretch.size()));
    if (cached != buffers.cache.end()) {
      const auto ids = buffers.cached_ids.begin() + cached->second.begin;
      ids_out.insert(ids_out.end(), ids, ids + cached->second.count);
      return;
    }
  }
  buffers.symbols.clear();
  AppendInitialSymbols(stretch, buffers);
  MergeSymbols(buffers);
  const std::size_t first = ids_out.size();
  for (const Symbol& symbol : buffers.symbols) {
    if (symbol.id >= 0) ids_out.push_back(symbol.id);
  }
  if (is_cacheable && buffers.cache.size() < Scratch::Buffers::kMaxCachedWords) {
    buffers.cache[std::string(stretch)] = {static_cast<std::uint32_t>(buffers.cached_ids.size()),
                                           static_cast<std::uint32_t>(ids_out.size() - first)};
    buffers.cached_ids.insert(buffers.cached_ids.end(), ids_out.begin() + first, ids_out.end());
  }
}

void BpeModel::AppendInitialSymbols(std::string_view stretch, Scratch::Buffers& buffers) const {
  bool unknown_pending = false;  // an unknown token waits for its run to end
  std::size_t position = 0;
  while (position < stretch.size()) {
    std::size_t end = position + 1;
    TokenId symbol = byte_symbols_[static_cast<unsigned char>(stretch[position])];
    if (alphabet_ == BpeDefinition::Alphabet::kCodePoints && static_cast<unsigned char>(stretch[position]) >= 0x80) {
      const unicode::Character c = unicode::DecodeAt(stretch, position);
      end = c.end;
      const auto found = code_point_symbols_.find(c.code_point);
      symbol = found == code_point_symbols_.end() ? -1 : found->second;
    }
    if (symbol >= 0) {
      if (unknown_pending) buffers.symbols.push_back({.id = *unknown_});
      unknown_pending = false;
      buffers.symbols.push_back({.id = symbol});
    } else {
      AppendBytesOrUnknown(stretch.substr(position, end - position), unknown_pending, buffers);
    }
    position = end;
  }
  if (unknown_pending) buffers.symbols.push_back({.id = *unknown_});
}

void BpeModel::AppendBytesOrUnknown(std::string_view character, bool& unknown_pending,
                                    Scratch::Buffers& buffers) const {
  if (byte_tokens_.has_value()) {
    bool has_all_bytes = true;
    for (const char c : character) has_all_bytes = has_all_bytes && (*byte_tokens_)[static_cast<unsigned char>(c)] >= 0;
    if (has_all_bytes) {
      for (const char c : character) buffers.symbols.push_back({.id = (*byte_tokens_)[static_cast<unsigned char>(c)]});
      return;
    }
  }
  if (!unknown_.has_value()) return;
  if (unknown_pending && unknown_runs_ == BpeDefinition::UnknownRuns::kSeparate) {
    buffers.symbols.push_back({.id = *unknown_});
  }
  unknown_pending = true;
}

void BpeModel::MergeSymbols(Scratch::Buffers& buffers) const {
  std::vector<Symbol>& symbols = buffers.symbols;
  std::vector<std::uint64_t>& candidates = buffers.candidates;  // a heap, the smallest in front
  // Looks up the merge of the symbol at `position` with its right neighbour and queues it.
  const auto update_pair = [&](std::int32_t position) {
    Symbol& symbol = symbols[position];
    const PairMerge* merge = symbol.next < 0 ? nullptr : FindMerge(symbol.id, symbols[symbol.next].id);
    symbol.pair_rank = merge == nullptr ? kNoMerge : merge->rank;
    if (merge == nullptr) return;
    symbol.pair_result = merge->result;
    candidates.push_back(static_cast<std::uint64_t>(merge->rank) << 32 | static_cast<std::uint32_t>(position));
    std::push_heap(candidates.begin(), candidates.end(), std::greater<>());
  };

  const auto count = static_cast<std::int32_t>(symbols.size());
  for (std::int32_t position = 0; position < count; ++position) {
    symbols[position].previous = position - 1;
    symbols[position].next = position + 1 < count ? position + 1 : -1;
    update_pair(position);
  }
  while (!candidates.empty()) {
    std::pop_heap(candidates.begin(), candidates.end(), std::greater<>());
    const auto position = static_cast<std::int32_t>(candidates.back() & 0xffffffff);
    const auto rank = static_cast<std::int32_t>(candidates.back() >> 32);
    candidates.pop_back();
    Symbol& left = symbols[position];
    if (left.id < 0 || left.pair_rank != rank) continue;  // the pair has changed since it was queued
    Symbol& right = symbols[left.next];
    left.id = left.pair_result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[left.next].previous = position;
    update_pair(position);
    if (left.previous >= 0) update_pair(left.previous);
  }
}

const BpeModel::PairMerge* BpeModel::FindMerge(TokenId left, TokenId right) const {
  const auto found = merges_.find(PairKey(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

}  // namespace gptvq

#include "core/text/calibration_inspection.h"

#include <algorithm>
#include <map>

#include "absl/types/span.h"

namespace gptvq {
namespace {

std::map<TokenId, std::int64_t> CountTokens(MatrixView<const TokenId> tokens) {
  std::map<TokenId, std::int64_t> counts;
  for (std::int64_t row = 0; row < tokens.rows; ++row) {
    for (std::int64_t column = 0; column < tokens.cols; ++column) ++counts[tokens.at(row, column)];
  }
  return counts;
}

void CountKinds(const std::map<TokenId, std::int64_t>& counts, const Tokenizer& tokenizer, double token_count,
                CalibrationInspection& inspection) {
  const SpecialTokens& special = tokenizer.special_tokens();
  for (const auto& [id, count] : counts) {
    if (id == special.bos) inspection.bos_tokens = count;
    if (id == special.eos) inspection.eos_tokens = count;
    const double share = static_cast<double>(count) / token_count;
    switch (id < tokenizer.vocabulary_size() ? tokenizer.Kind(id) : TokenKind::kUnknown) {
      case TokenKind::kNormal: break;
      case TokenKind::kSpecial: inspection.special_share += share; break;
      case TokenKind::kByte: inspection.byte_share += share; break;
      case TokenKind::kUnknown: inspection.unknown_share += share; break;
    }
  }
}

std::vector<TokenFrequency> MostFrequent(const std::map<TokenId, std::int64_t>& counts, const Tokenizer* tokenizer,
                                         int limit) {
  std::vector<TokenFrequency> frequencies;
  frequencies.reserve(counts.size());
  for (const auto& [id, count] : counts) frequencies.push_back({.id = id, .count = count, .text = ""});
  std::ranges::stable_sort(frequencies, std::ranges::greater(), &TokenFrequency::count);
  frequencies.resize(std::min<std::size_t>(frequencies.size(), std::max(limit, 0)));
  if (tokenizer == nullptr) return frequencies;
  for (TokenFrequency& frequency : frequencies) frequency.text = tokenizer->TokenText(frequency.id);
  return frequencies;
}

std::vector<RowExcerpt> TakeExcerpts(const CalibrationSet& set, const Tokenizer* tokenizer,
                                     const InspectionOptions& options) {
  const std::int64_t excerpt_count = std::min<std::int64_t>(set.samples(), options.excerpt_rows);
  const std::size_t length = std::min<std::int64_t>(set.sequence_length(), std::max(options.excerpt_tokens, 0));
  std::vector<RowExcerpt> excerpts;
  for (std::int64_t i = 0; i < excerpt_count; ++i) {
    const std::int64_t row = excerpt_count == 1 ? 0 : i * (set.samples() - 1) / (excerpt_count - 1);
    RowExcerpt excerpt{.row = row, .stream_begin = set.row_begins()[row], .head = "", .tail = ""};
    if (tokenizer != nullptr) {
      const absl::Span<const TokenId> ids(set.tokens().row(row), set.sequence_length());
      excerpt.head = tokenizer->Decode(ids.first(length));
      excerpt.tail = tokenizer->Decode(ids.last(length));
    }
    excerpts.push_back(std::move(excerpt));
  }
  return excerpts;
}

}  // namespace

CalibrationInspection InspectCalibration(const CalibrationSet& set, const Tokenizer* tokenizer,
                                         const InspectionOptions& options) {
  const std::map<TokenId, std::int64_t> counts = CountTokens(set.tokens());
  CalibrationInspection inspection;
  inspection.digest = set.digest();
  inspection.rows_used = set.samples();
  inspection.rows_available = set.stream().token_count / set.sequence_length();
  inspection.sequence_length = set.sequence_length();
  inspection.stream_tokens = set.stream().token_count;
  inspection.documents = set.stream().document_count;
  inspection.distinct_tokens = static_cast<std::int64_t>(counts.size());
  if (tokenizer != nullptr) {
    CountKinds(counts, *tokenizer, static_cast<double>(set.samples() * set.sequence_length()), inspection);
  }
  inspection.frequent_tokens = MostFrequent(counts, tokenizer, options.frequent_tokens);
  inspection.excerpts = TakeExcerpts(set, tokenizer, options);
  return inspection;
}

}  // namespace gptvq

#include "core/text/calibration_set.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/philox.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

using OnTokens = absl::FunctionRef<void(absl::Span<const TokenId>)>;

Digest DigestOfIds(absl::Span<const TokenId> ids) {
  Sha256 hash;
  std::array<std::byte, 4096> bytes;
  std::size_t filled = 0;
  for (const TokenId id : ids) {
    for (int shift = 0; shift < 32; shift += 8) bytes[filled++] = static_cast<std::byte>(id >> shift);
    if (filled < bytes.size()) continue;
    hash.Update(bytes);
    filled = 0;
  }
  hash.Update({bytes.data(), filled});
  return hash.Finish();
}

// The tokens of all documents, in order; may be streamed more than once.
class TokenStream {
 public:
  TokenStream(absl::Span<const RandomAccessFile* const> files, const Tokenizer* tokenizer,
              const CalibrationOptions& options)
      : files_(files), tokenizer_(tokenizer), options_(options) {}

  // Calls on_tokens for every stretch of the stream.
  absl::StatusOr<TokenStreamFacts> ForEachStretch(OnTokens on_tokens) const {
    TokenStreamFacts facts;
    for (const RandomAccessFile* file : files_) GPTVQ_RETURN_IF_ERROR(ReadFile(*file, on_tokens, facts));
    return facts;
  }

 private:
  absl::Status ReadFile(const RandomAccessFile& file, OnTokens on_tokens, TokenStreamFacts& facts) const {
    DocumentFormat format = DocumentFormat::kText;
    if (options_.format.has_value()) {
      format = *options_.format;
    } else {
      GPTVQ_ASSIGN_OR_RETURN(format, DetectDocumentFormat(file, options_.documents));
    }
    return ReadDocuments(file, format, options_.documents, [&](const DocumentPart& part) -> absl::Status {
      if (part.begins_document) ++facts.document_count;
      if (!part.ids.empty()) {
        facts.token_count += static_cast<std::int64_t>(part.ids.size());
        on_tokens(part.ids);
        return absl::OkStatus();
      }
      GPTVQ_ASSIGN_OR_RETURN(const std::vector<TokenId> ids, Tokenize(part, facts.token_count));
      facts.token_count += static_cast<std::int64_t>(ids.size());
      on_tokens(ids);
      return absl::OkStatus();
    });
  }

  absl::StatusOr<std::vector<TokenId>> Tokenize(const DocumentPart& part, std::int64_t stream_index) const {
    if (tokenizer_ == nullptr) {
      return absl::InvalidArgumentError("text, but the model has no tokenizer; give token ids");
    }
    GPTVQ_ASSIGN_OR_RETURN(std::vector<TokenId> ids, tokenizer_->Encode(part.text));
    const SpecialTokens& special = tokenizer_->special_tokens();
    if (part.begins_document) {
      ids.insert(ids.begin(), special.document_prefix.begin(), special.document_prefix.end());
    }
    if (part.ends_document) ids.insert(ids.end(), special.document_suffix.begin(), special.document_suffix.end());
    const auto outside =
        std::ranges::find_if(ids, [&](TokenId id) { return id >= options_.documents.vocabulary_size; });
    if (outside == ids.end()) return ids;
    return absl::InvalidArgumentError(
        absl::StrCat("the tokenizer gives id ", *outside, " at token ", stream_index + (outside - ids.begin()),
                     ", but the model's vocabulary has only ", options_.documents.vocabulary_size,
                     " entries: the tokenizer is of another model"));
  }

  const absl::Span<const RandomAccessFile* const> files_;
  const Tokenizer* const tokenizer_;
  const CalibrationOptions& options_;
};

// Copies windows out of a stream that passes by in stretches.
class WindowCollector {
 public:
  WindowCollector(const std::vector<std::int64_t>& begins, std::int64_t sequence_length)
      : begins_(begins),
        sequence_length_(sequence_length),
        order_(begins.size()),
        tokens_(begins.size() * sequence_length) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::ranges::stable_sort(order_, {}, [&](std::size_t row) { return begins_[row]; });
  }

  void Add(absl::Span<const TokenId> stretch) {
    const std::int64_t end = position_ + static_cast<std::int64_t>(stretch.size());
    // Rows whose window ends in or before an earlier stretch are complete; they come first in the order.
    while (first_open_ < order_.size() && begins_[order_[first_open_]] + sequence_length_ <= position_) ++first_open_;
    for (std::size_t i = first_open_; i < order_.size() && begins_[order_[i]] < end; ++i) {
      const std::size_t row = order_[i];
      const std::int64_t copy_begin = std::max(begins_[row], position_);
      const std::int64_t copy_end = std::min(begins_[row] + sequence_length_, end);
      std::copy(stretch.begin() + (copy_begin - position_), stretch.begin() + (copy_end - position_),
                tokens_.begin() + static_cast<std::int64_t>(row) * sequence_length_ + (copy_begin - begins_[row]));
    }
    position_ = end;
  }

  std::vector<TokenId> TakeTokens() { return std::move(tokens_); }

 private:
  const std::vector<std::int64_t>& begins_;
  const std::int64_t sequence_length_;
  std::vector<std::size_t> order_;  // rows by where they begin
  std::size_t first_open_ = 0;      // in order_
  std::int64_t position_ = 0;       // of the next stretch in the stream
  std::vector<TokenId> tokens_;
};

absl::Status CheckThereAreEnough(const TokenStreamFacts& stream, const CalibrationOptions& options) {
  const bool takes_what_is_there = options.window_mode == WindowMode::kConsecutive;
  const std::int64_t needed = (takes_what_is_there ? 1 : options.samples) * options.sequence_length;
  if (stream.token_count >= needed) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("too little text: ", stream.token_count, " tokens in ", stream.document_count, " documents, but ",
                   takes_what_is_there ? 1 : options.samples, " rows of ", options.sequence_length, " tokens need ",
                   needed, "; give more text, fewer rows or shorter ones"));
}

// Errors: InvalidArgument when end to end there are more rows than a set may have.
absl::StatusOr<std::int64_t> CountRows(std::int64_t token_count, const CalibrationOptions& options) {
  if (options.window_mode != WindowMode::kConsecutive) return options.samples;
  const std::int64_t available = token_count / options.sequence_length;
  const std::int64_t rows = options.samples == 0 ? available : std::min(available, options.samples);
  if (rows * options.sequence_length <= CalibrationOptions::kMaxTokens) return rows;
  return absl::InvalidArgumentError(absl::StrCat("the text has ", rows, " rows of ", options.sequence_length,
                                                 " tokens, more than ", CalibrationOptions::kMaxTokens,
                                                 " tokens; limit the number of rows"));
}

std::vector<std::int64_t> ChooseRowBegins(std::int64_t row_count, std::int64_t token_count,
                                          const CalibrationOptions& options) {
  const std::int64_t last = token_count - options.sequence_length;
  const Philox philox(options.seed, Philox::StreamOf("calibration rows"));
  std::vector<std::int64_t> begins(row_count);
  for (std::int64_t row = 0; row < row_count; ++row) {
    switch (options.window_mode) {
      case WindowMode::kRandom:
        begins[row] = static_cast<std::int64_t>(philox.Uniform(row) * static_cast<double>(last + 1));
        break;
      case WindowMode::kSpread: begins[row] = row_count == 1 ? 0 : last * row / (row_count - 1); break;
      case WindowMode::kConsecutive: begins[row] = row * options.sequence_length; break;
    }
  }
  return begins;
}

}  // namespace

absl::Status CalibrationOptions::Validate() const {
  const auto check = [](const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
    if (value >= low && value <= high) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(name, " is ", value, ", not from ", low, " to ", high));
  };
  GPTVQ_RETURN_IF_ERROR(check("sequence_length", sequence_length, 2, kMaxSequenceLength));
  if (window_mode ==
      WindowMode::kConsecutive) {  // a limit only; what it lets through is counted when the text is known
    GPTVQ_RETURN_IF_ERROR(check("samples", samples, 0, std::numeric_limits<std::int64_t>::max()));
  } else {
    GPTVQ_RETURN_IF_ERROR(check("samples", samples, 1, kMaxSamples));
    GPTVQ_RETURN_IF_ERROR(check("samples x sequence_length", samples * sequence_length, 0, kMaxTokens));
  }
  GPTVQ_RETURN_IF_ERROR(check("vocabulary_size", documents.vocabulary_size, 1, std::int64_t{1} << 31));
  return check("max_buffered_tokens", max_buffered_tokens, 0, kMaxTokens);
}

CalibrationSet::CalibrationSet(std::vector<TokenId> tokens, std::vector<std::int64_t> row_begins,
                               std::int64_t sequence_length, TokenStreamFacts stream)
    : tokens_(std::move(tokens)),
      row_begins_(std::move(row_begins)),
      sequence_length_(sequence_length),
      stream_(stream),
      digest_(DigestOfIds(tokens_)) {
  GPTVQ_CHECK(tokens_.size() == row_begins_.size() * static_cast<std::size_t>(sequence_length_));
}

absl::StatusOr<CalibrationSet> BuildCalibrationSet(absl::Span<const RandomAccessFile* const> files,
                                                   const Tokenizer* tokenizer, const CalibrationOptions& options) {
  GPTVQ_RETURN_IF_ERROR(options.Validate());
  const TokenStream stream(files, tokenizer, options);
  std::vector<TokenId> buffered;
  bool is_buffered = true;
  GPTVQ_ASSIGN_OR_RETURN(const TokenStreamFacts facts, stream.ForEachStretch([&](absl::Span<const TokenId> stretch) {
    is_buffered = is_buffered && buffered.size() + stretch.size() <= options.max_buffered_tokens;
    if (is_buffered) {
      buffered.insert(buffered.end(), stretch.begin(), stretch.end());
    } else {
      buffered = {};
    }
  }));
  GPTVQ_RETURN_IF_ERROR(CheckThereAreEnough(facts, options));
  GPTVQ_ASSIGN_OR_RETURN(const std::int64_t row_count, CountRows(facts.token_count, options));
  std::vector<std::int64_t> begins = ChooseRowBegins(row_count, facts.token_count, options);
  WindowCollector collector(begins, options.sequence_length);
  if (is_buffered) {
    collector.Add(buffered);
  } else {
    GPTVQ_ASSIGN_OR_RETURN(const TokenStreamFacts again,
                           stream.ForEachStretch([&](absl::Span<const TokenId> stretch) { collector.Add(stretch); }));
    if (again.token_count != facts.token_count) return absl::DataLossError("a file changed while it was read");
  }
  return CalibrationSet(collector.TakeTokens(), std::move(begins), options.sequence_length, facts);
}

}  // namespace gptvq

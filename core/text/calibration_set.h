#ifndef GPTVQ_CORE_TEXT_CALIBRATION_SET_H_
#define GPTVQ_CORE_TEXT_CALIBRATION_SET_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/file.h"
#include "core/base/matrix_view.h"
#include "core/base/sha256.h"
#include "core/text/documents.h"
#include "core/text/tokenizer.h"

namespace gptvq {

// Rows of token ids, all full: what a model reads to be calibrated, or evaluated. The documents of the files are
// tokenized, each with what the tokenizer puts around a document, and form one stream; a row is a window of that
// stream. Nothing is padded and nothing masked.

// Where the windows begin in a stream of N tokens, for S rows of L.
enum class WindowMode {
  kRandom,       // uniformly among 0 .. N - L, independently, in the manner of the paper; from the seed (Philox)
  kSpread,       // evenly from 0 to N - L, in order
  kConsecutive,  // 0, L, 2L, ...: as many as there are, at most S; for evaluation
};

struct CalibrationOptions {
  std::optional<DocumentFormat> format;  // nullopt: of each file by DetectDocumentFormat
  DocumentOptions documents;             // vocabulary_size there is required: the rows of the model's embedding
  std::int64_t samples = 128;            // S, from 1 to 65 536; with kConsecutive any limit, or 0. The paper's 128
  std::int64_t sequence_length = 2048;   // L, from 2 to 131 072. The paper's 2048
  WindowMode window_mode = WindowMode::kRandom;
  std::uint64_t seed = 0;
  // A stream of more tokens is not held in memory: it is read and tokenized twice. The result does not depend on it.
  std::int64_t max_buffered_tokens = std::int64_t{1} << 24;  // 64 MiB

  static constexpr std::int64_t kMaxSamples = 65'536;
  static constexpr std::int64_t kMaxSequenceLength = 131'072;
  static constexpr std::int64_t kMaxTokens = std::int64_t{1} << 28;  // S x L: 1 GiB

  // Errors: InvalidArgument naming the field and its range.
  absl::Status Validate() const;
};

// What a set was cut from. Plain value.
struct TokenStreamFacts {
  std::int64_t token_count = 0;  // N
  std::int64_t document_count = 0;
};

// Immutable; owns its ids.
class CalibrationSet {
 public:
  // `tokens` are the rows one after the other; `row_begins` the place of each in the stream.
  // Precondition: tokens.size() == row_begins.size() * sequence_length.
  CalibrationSet(std::vector<TokenId> tokens, std::vector<std::int64_t> row_begins, std::int64_t sequence_length,
                 TokenStreamFacts stream);

  // [S, L], row-major.
  MatrixView<const TokenId> tokens() const { return {tokens_.data(), samples(), sequence_length_}; }
  std::int64_t samples() const { return static_cast<std::int64_t>(row_begins_.size()); }
  std::int64_t sequence_length() const { return sequence_length_; }
  const std::vector<std::int64_t>& row_begins() const { return row_begins_; }
  const TokenStreamFacts& stream() const { return stream_; }

  // SHA-256 of the ids as little-endian int32, row by row; its size is 4 x S x L.
  const Digest& digest() const { return digest_; }

 private:
  std::vector<TokenId> tokens_;
  std::vector<std::int64_t> row_begins_;
  std::int64_t sequence_length_;
  TokenStreamFacts stream_;
  Digest digest_;
};

// Reads `files` one after the other and cuts the rows. `tokenizer` may be null when every file holds ids. Ids in files
// are taken as they are, without BOS or EOS being put around them. A document longer than DocumentOptions::part_bytes
// is tokenized part by part, each from a line's start: that can change a token where two parts meet, and nothing else.
// Deterministic: a function of the files' bytes, the tokenizer's files and the options; not of max_buffered_tokens.
// Memory: the result, max_buffered_tokens, and some ten times DocumentOptions::part_bytes while a part is tokenized.
// Errors: InvalidArgument for options out of range, a stream of fewer than S x L tokens (for kConsecutive: than L),
// saying how many there are and how many are needed, text without a tokenizer, a token of the tokenizer outside the
// model's vocabulary; those of DetectDocumentFormat and ReadDocuments, with file and line.
absl::StatusOr<CalibrationSet> BuildCalibrationSet(absl::Span<const RandomAccessFile* const> files,
                                                   const Tokenizer* tokenizer, const CalibrationOptions& options);

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_CALIBRATION_SET_H_

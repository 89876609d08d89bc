#ifndef GPTVQ_CORE_TEXT_CALIBRATION_INSPECTION_H_
#define GPTVQ_CORE_TEXT_CALIBRATION_INSPECTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/sha256.h"
#include "core/text/calibration_set.h"
#include "core/text/tokenizer.h"

namespace gptvq {

// What a person wants to see of a calibration set before hours are spent on it: wrong tokenizers, doubled BOS, text
// that falls apart into bytes, one document over and over all show here. `gptvq-client calibration inspect` prints it.

struct InspectionOptions {
  int excerpt_rows = 3;      // rows shown, spread evenly over the set
  int excerpt_tokens = 24;   // tokens decoded at each end of such a row
  int frequent_tokens = 20;  // length of the list of the most frequent tokens
};

struct TokenFrequency {
  TokenId id = 0;
  std::int64_t count = 0;
  std::string text;  // Tokenizer::TokenText; empty without a tokenizer
};

struct RowExcerpt {
  std::int64_t row = 0;
  std::int64_t stream_begin = 0;  // the row's first token in the stream of all tokens
  std::string head;               // decoded; empty without a tokenizer
  std::string tail;
};

// Plain value. Shares are of all tokens of the set, 0 to 1.
struct CalibrationInspection {
  Digest digest;
  std::int64_t rows_used = 0;
  std::int64_t rows_available = 0;  // full rows in the stream, end to end
  std::int64_t sequence_length = 0;
  std::int64_t stream_tokens = 0;
  std::int64_t documents = 0;
  std::int64_t distinct_tokens = 0;
  std::int64_t bos_tokens = 0;  // in the rows
  std::int64_t eos_tokens = 0;
  double unknown_share = 0;                     // the unknown token
  double byte_share = 0;                        // tokens for single bytes of characters that have none
  double special_share = 0;                     // BOS, EOS and the like
  std::vector<TokenFrequency> frequent_tokens;  // most frequent first; ties by id
  std::vector<RowExcerpt> excerpts;
};

// `tokenizer` is the one the set was made with; null for a set of ids of a model without one: then texts are empty, and
// counts and shares of BOS, EOS, unknown, byte and special tokens 0. Deterministic.
CalibrationInspection InspectCalibration(const CalibrationSet& set, const Tokenizer* tokenizer,
                                         const InspectionOptions& options = {});

}  // namespace gptvq

#endif  // GPTVQ_CORE_TEXT_CALIBRATION_INSPECTION_H_

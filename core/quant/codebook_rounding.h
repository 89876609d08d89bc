#ifndef GPTVQ_CORE_QUANT_CODEBOOK_ROUNDING_H_
#define GPTVQ_CORE_QUANT_CODEBOOK_ROUNDING_H_

#include <cstdint>
#include <variant>

#include "absl/types/span.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// Rounds one codebook to what will be stored and back, in host memory. Pure.
//
// int8: code = round to nearest, ties to even, of value / scale, within -127..127; scale = max |value| / 127 rounded up
// to BF16. A codebook of zeros, or one so small that its scale would not be a normal BF16 number, gets scale 0 and codes
// 0: never a NaN. fp16: round to nearest even, saturating at the largest half instead of infinity.

// `codes_out` as long as `values`; the decoded numbers replace `values`. Returns the scale.
float RoundToInt8(absl::Span<float> values, absl::Span<std::int8_t> codes_out);

void RoundToHalf(absl::Span<float> values, absl::Span<std::uint16_t> entries_out);

// The stored codebooks of all groups; entries may be rewritten group by group.
using StoredCodebooks = std::variant<Int8Codebooks, Fp16Codebooks, SvdCodebooks>;

// Room for `group_count` codebooks of `entries` numbers each, all zero.
StoredCodebooks MakeStoredCodebooks(CodebookDType dtype, std::int64_t group_count, std::int64_t entries);

// Rounds the codebook of `group` into `stored` and replaces `values` by the decoded numbers.
// Precondition: `stored` holds int8 or fp16 codebooks of values.size() entries.
void RoundCodebook(std::int64_t group, absl::Span<float> values, StoredCodebooks& stored);

// The numbers of one group in two sets of codebooks.
struct GroupPair {
  std::int64_t source = 0;
  std::int64_t target = 0;
};

// Copies the codebook of a group, of `entries` numbers, from one to the other. Precondition: both are int8 or both fp16.
void CopyStoredCodebook(GroupPair groups, std::int64_t entries, const StoredCodebooks& source, StoredCodebooks& target);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_CODEBOOK_ROUNDING_H_

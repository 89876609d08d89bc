#ifndef GPTVQ_CORE_DECODE_CODE_KERNELS_H_
#define GPTVQ_CORE_DECODE_CODE_KERNELS_H_

#include <cstdint>

#include "absl/types/span.h"
#include "core/base/matrix_view.h"

namespace gptvq {

// The inner loops of decoding, vectorised for the processor at hand. Pure; no allocation; unaligned memory is fine.
//
// Codes are handled in blocks of 64 bytes, seen as 16 lanes of 4: byte 4 * lane + j of a block meets x[16 * j + lane] of the
// same block of a prepared input. So a lane's four products come from shifts of one 32-bit word, without shuffles.
// Sums over blocks are kept in 16 lanes and added in a fixed order at the end: the result does not depend on the
// width of the processor's vectors, only on whether it fuses multiplication and addition.
inline constexpr std::int64_t kBlockCodes = 64;
inline constexpr std::int64_t kBlockLanes = 16;
inline constexpr std::int64_t kIndexStep = 16;      // indices come in multiples of this
inline constexpr std::int64_t kIndexOverread = 16;  // bytes behind a row of indices that may be read

// Unpacks `count` indices (a multiple of kIndexStep) of `bits` bits, as UnpackBits does. May read kIndexOverread bytes more
// than they take.
void UnpackIndices(const std::uint8_t* bytes, int bits, std::int64_t count, std::uint8_t* indices_out);

// The vectors of one stripe of a row, to be looked up in component planes.
struct PlaneLookup {
  const std::uint8_t* indices = nullptr;  // index_count of them, a multiple of 64
  std::int64_t index_count = 0;
  const std::int8_t* planes = nullptr;  // [dim][plane_bytes]
  std::int8_t* codes_out = nullptr;     // for every 64 indices `dim` blocks, block c from plane c
};

// plane_bytes is 16, 32, 64, 128 or 256; every index is below it.
void LookUpPlanes(absl::Span<const PlaneLookup> lookups, int plane_bytes, int dim);

// sum over blocks and lanes of lane_scales[16 * block + lane] * (sum over j of code * x).
float DotCodes(const std::int8_t* codes, const float* lane_scales, const float* x, std::int64_t block_count);

// The weights lane_scales * code in the order of a prepared input: 64 floats a block.
void ScaleCodes(const std::int8_t* codes, const float* lane_scales, std::int64_t block_count, float* weights_out);

// sum of weights[i] * x[i]; count is a multiple of 16.
float DotFloats(const float* weights, const float* x, std::int64_t count);

// y(t, r) += sum over c of x(t, c) * weights(r, c), in an order that depends on the shapes and the processor alone.
// Preconditions: weights.rows is a multiple of 4; y_out.cols <= weights.rows: rows beyond it are ignored.
void AddProduct(MatrixView<const float> x, MatrixView<const float> weights, MatrixView<float> y_out);

}  // namespace gptvq

#endif  // GPTVQ_CORE_DECODE_CODE_KERNELS_H_

#ifndef GPTVQ_CORE_BASE_DTYPE_H_
#define GPTVQ_CORE_BASE_DTYPE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/types/span.h"

namespace gptvq {

// Element types of tensors, in memory and in safetensors files. Sub-byte types do not exist here: packed bits are kU8.
enum class DType { kF64, kF32, kF16, kBf16, kI64, kI32, kI16, kI8, kU8, kBool };

// Bytes of one element.
std::size_t DTypeBytes(DType dtype);

// The safetensors spelling: "F32", "BF16", ...
std::string_view DTypeName(DType dtype);

// Inverse of DTypeName, case-sensitive; nullopt for anything else.
std::optional<DType> ParseDType(std::string_view name);

// Scalar conversions. To half and bfloat16: round to nearest even, NaN stays NaN, overflow becomes infinity.
float HalfToFloat(std::uint16_t bits);
std::uint16_t FloatToHalf(float value);
float Bf16ToFloat(std::uint16_t bits);
std::uint16_t FloatToBf16(float value);

// Bulk conversions between f32 and the little-endian storage of a floating-point dtype (kF64, kF32, kF16, kBf16).
// `source`/`target_out` hold exactly count * DTypeBytes(dtype) bytes and need no alignment.
// Precondition: dtype is one of the four.
void DecodeToFloat(DType dtype, absl::Span<const std::byte> source, absl::Span<float> values_out);
void EncodeFromFloat(DType dtype, absl::Span<const float> values, absl::Span<std::byte> target_out);

}  // namespace gptvq

#endif  // GPTVQ_CORE_BASE_DTYPE_H_

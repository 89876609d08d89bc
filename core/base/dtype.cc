#include "core/base/dtype.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "core/base/check.h"

namespace gptvq {
namespace {

struct DTypeRow {
  DType dtype;
  std::string_view name;
  std::size_t bytes;
};

constexpr DTypeRow kDTypes[] = {
    {DType::kF64, "F64", 8}, {DType::kF32, "F32", 4},   {DType::kF16, "F16", 2}, {DType::kBf16, "BF16", 2},
    {DType::kI64, "I64", 8}, {DType::kI32, "I32", 4},   {DType::kI16, "I16", 2}, {DType::kI8, "I8", 1},
    {DType::kU8, "U8", 1},   {DType::kBool, "BOOL", 1},
};

template <typename T>
T LoadElement(const std::byte* address) {
  T value;
  std::memcpy(&value, address, sizeof(T));
  return value;
}

template <typename T>
void StoreElement(std::byte* address, T value) {
  std::memcpy(address, &value, sizeof(T));
}

}  // namespace

std::size_t DTypeBytes(DType dtype) {
  for (const DTypeRow& row : kDTypes) {
    if (row.dtype == dtype) return row.bytes;
  }
  GPTVQ_CHECK(false);
  return 0;
}

std::string_view DTypeName(DType dtype) {
  for (const DTypeRow& row : kDTypes) {
    if (row.dtype == dtype) return row.name;
  }
  GPTVQ_CHECK(false);
  return "";
}

std::optional<DType> ParseDType(std::string_view name) {
  for (const DTypeRow& row : kDTypes) {
    if (row.name == name) return row.dtype;
  }
  return std::nullopt;
}

float HalfToFloat(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

std::uint16_t FloatToHalf(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint16_t sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;   // NaN
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // rounds to 65536 or above
  if (magnitude < 0x38800000u) {                        // subnormal half: a multiple of 2^-24
    return sign | static_cast<std::uint16_t>(std::nearbyint(std::ldexp(std::fabs(value), 24)));
  }
  const std::uint32_t rebased = magnitude - (112u << 23);
  const std::uint32_t rounded = rebased + 0xfffu + ((rebased >> 13) & 1u);
  return sign | static_cast<std::uint16_t>(rounded >> 13);
}

float Bf16ToFloat(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

std::uint16_t FloatToBf16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

void DecodeToFloat(DType dtype, absl::Span<const std::byte> source, absl::Span<float> values_out) {
  GPTVQ_CHECK(source.size() == values_out.size() * DTypeBytes(dtype));
  const std::byte* data = source.data();
  const std::size_t count = values_out.size();
  if (count == 0) return;  // memcpy takes no null, not even for no bytes
  switch (dtype) {
    case DType::kF32: std::memcpy(values_out.data(), data, source.size()); return;
    case DType::kF64:
      for (std::size_t i = 0; i < count; ++i) values_out[i] = static_cast<float>(LoadElement<double>(data + 8 * i));
      return;
    case DType::kF16:
      for (std::size_t i = 0; i < count; ++i) values_out[i] = HalfToFloat(LoadElement<std::uint16_t>(data + 2 * i));
      return;
    case DType::kBf16:
      for (std::size_t i = 0; i < count; ++i) values_out[i] = Bf16ToFloat(LoadElement<std::uint16_t>(data + 2 * i));
      return;
    default: GPTVQ_CHECK(false && "not a floating-point dtype");
  }
}

void EncodeFromFloat(DType dtype, absl::Span<const float> values, absl::Span<std::byte> target_out) {
  GPTVQ_CHECK(target_out.size() == values.size() * DTypeBytes(dtype));
  std::byte* data = target_out.data();
  const std::size_t count = values.size();
  if (count == 0) return;  // as above
  switch (dtype) {
    case DType::kF32: std::memcpy(data, values.data(), target_out.size()); return;
    case DType::kF64:
      for (std::size_t i = 0; i < count; ++i) StoreElement(data + 8 * i, static_cast<double>(values[i]));
      return;
    case DType::kF16:
      for (std::size_t i = 0; i < count; ++i) StoreElement(data + 2 * i, FloatToHalf(values[i]));
      return;
    case DType::kBf16:
      for (std::size_t i = 0; i < count; ++i) StoreElement(data + 2 * i, FloatToBf16(values[i]));
      return;
    default: GPTVQ_CHECK(false && "not a floating-point dtype");
  }
}

}  // namespace gptvq

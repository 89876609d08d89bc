#include "core/quant/codebook_rounding.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/dtype.h"

namespace gptvq {
namespace {

constexpr float kLargestCode = 127.0f;
constexpr float kLargestHalf = 65504.0f;
constexpr float kSmallestScale = 0x1.0p-126f;  // the smallest normal BF16 number

// The smallest BF16 number that is not below a positive finite value.
float RoundUpToBf16(float value) {
  const std::uint16_t bits = FloatToBf16(value);
  const float rounded = Bf16ToFloat(bits);
  return rounded >= value ? rounded : Bf16ToFloat(static_cast<std::uint16_t>(bits + 1));
}

}  // namespace

float RoundToInt8(absl::Span<float> values, absl::Span<std::int8_t> codes_out) {
  GPTVQ_CHECK(values.size() == codes_out.size());
  float largest = 0;
  for (float value : values) largest = std::max(largest, std::abs(value));
  float scale = RoundUpToBf16(largest / kLargestCode);
  if (scale < kSmallestScale) scale = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float code = scale == 0 ? 0.0f : std::clamp(std::nearbyint(values[i] / scale), -kLargestCode, kLargestCode);
    codes_out[i] = static_cast<std::int8_t>(code);
    values[i] = code * scale;
  }
  return scale;
}

void RoundToHalf(absl::Span<float> values, absl::Span<std::uint16_t> entries_out) {
  GPTVQ_CHECK(values.size() == entries_out.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    entries_out[i] = FloatToHalf(std::clamp(values[i], -kLargestHalf, kLargestHalf));
    values[i] = HalfToFloat(entries_out[i]);
  }
}

StoredCodebooks MakeStoredCodebooks(CodebookDType dtype, std::int64_t group_count, std::int64_t entries) {
  const auto total = static_cast<std::size_t>(group_count * entries);
  if (dtype == CodebookDType::kFp16) return Fp16Codebooks{std::vector<std::uint16_t>(total, 0)};
  return Int8Codebooks{std::vector<std::int8_t>(total, 0),
                       std::vector<float>(static_cast<std::size_t>(group_count), 0)};
}

void RoundCodebook(std::int64_t group, absl::Span<float> values, StoredCodebooks& stored) {
  const std::size_t begin = static_cast<std::size_t>(group) * values.size();
  if (auto* int8 = std::get_if<Int8Codebooks>(&stored)) {
    int8->scales[group] = RoundToInt8(values, absl::MakeSpan(int8->codes).subspan(begin, values.size()));
    return;
  }
  RoundToHalf(values, absl::MakeSpan(std::get<Fp16Codebooks>(stored).entries).subspan(begin, values.size()));
}

void CopyStoredCodebook(GroupPair groups, std::int64_t entries, const StoredCodebooks& source,
                        StoredCodebooks& target) {
  const std::int64_t from = groups.source * entries;
  const std::int64_t to = groups.target * entries;
  if (const auto* int8 = std::get_if<Int8Codebooks>(&source)) {
    auto& copy = std::get<Int8Codebooks>(target);
    std::copy_n(int8->codes.begin() + from, entries, copy.codes.begin() + to);
    copy.scales[groups.target] = int8->scales[groups.source];
    return;
  }
  std::copy_n(std::get<Fp16Codebooks>(source).entries.begin() + from, entries,
              std::get<Fp16Codebooks>(target).entries.begin() + to);
}

}  // namespace gptvq

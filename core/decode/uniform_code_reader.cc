// Rows of uniform grids up to 7 bits, as codes and scales: code minus zero point fits a signed byte.

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/dtype.h"
#include "core/decode/code_kernels.h"
#include "core/decode/row_reader.h"
#include "core/spec/bit_packing.h"

namespace gptvq {
namespace {

constexpr int kMaxBits = 7;

std::int64_t RoundUp(std::int64_t value, std::int64_t step) { return (value + step - 1) / step * step; }

class UniformCodeReader final : public RowReader {
 public:
  UniformCodeReader(const UniformQuantizedLinear& linear, std::vector<std::uint8_t> packed_codes)
      : cols_(linear.cols),
        bits_(linear.bits),
        group_columns_(linear.group_columns),
        groups_per_row_(linear.groups_per_row()),
        code_count_(RoundUp(linear.cols, kBlockCodes)),
        packed_(std::move(packed_codes)),
        zero_points_(linear.zero_points) {
    MapColumns(linear.permutation);
    scales_.resize(linear.scales.size());
    std::transform(linear.scales.begin(), linear.scales.end(), scales_.begin(), HalfToFloat);
    packed_.resize(packed_.size() + kIndexOverread);
  }

  float DotRow(std::int64_t row, const float* prepared, RowScratch& scratch) const override {
    LoadRow(row, scratch);
    return DotCodes(scratch.codes.data(), scratch.lane_scales.data(), prepared, code_count_ / kBlockCodes);
  }

  void ReadRow(std::int64_t row, float* weights_out, RowScratch& scratch) const override {
    LoadRow(row, scratch);
    ScaleCodes(scratch.codes.data(), scratch.lane_scales.data(), code_count_ / kBlockCodes, weights_out);
  }

 private:
  void MapColumns(const std::vector<std::int32_t>& permutation) {
    column_of_place_.assign(code_count_, kNoColumn);
    for (std::int64_t i = 0; i < cols_; ++i) {
      const std::int64_t place = i / kBlockCodes * kBlockCodes + i % 4 * kBlockLanes + i % kBlockCodes / 4;
      column_of_place_[place] = permutation.empty() ? static_cast<std::int32_t>(i) : permutation[i];
    }
  }

  void LoadRow(std::int64_t row, RowScratch& scratch) const {
    scratch.indices.resize(code_count_);
    scratch.codes.resize(code_count_, 0);
    scratch.lane_scales.resize(code_count_ / 4, 0.0f);
    UnpackIndices(packed_.data() + row * PackedRowBytes(cols_, bits_), bits_, RoundUp(cols_, kIndexStep),
                  scratch.indices.data());
    for (std::int64_t g = 0; g < groups_per_row_; ++g) {
      const std::int64_t begin = g * group_columns_;
      const std::int64_t end = std::min(begin + group_columns_, cols_);
      const std::int64_t group = row * groups_per_row_ + g;
      Subtract(scratch.indices.data() + begin, zero_points_[group], end - begin, scratch.codes.data() + begin);
      std::fill(scratch.lane_scales.begin() + begin / 4, scratch.lane_scales.begin() + (end + 3) / 4, scales_[group]);
    }
  }

  // The pointers do not alias, which byte types would otherwise allow: the loop becomes vector code.
  static void Subtract(const std::uint8_t* __restrict codes, std::uint8_t zero, std::int64_t count,
                       std::int8_t* __restrict out) {
    for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<std::int8_t>(codes[i] - zero);
  }

  const std::int64_t cols_;
  const int bits_;
  const std::int64_t group_columns_;
  const std::int64_t groups_per_row_;
  const std::int64_t code_count_;
  std::vector<std::uint8_t> packed_;
  const std::vector<std::uint8_t> zero_points_;
  std::vector<float> scales_;
};

}  // namespace

std::unique_ptr<RowReader> MakeUniformCodeReader(const UniformQuantizedLinear& linear,
                                                 std::vector<std::uint8_t> packed_codes) {
  GPTVQ_CHECK(linear.bits <= kMaxBits && linear.group_columns % 4 == 0);
  return std::make_unique<UniformCodeReader>(linear, std::move(packed_codes));
}

}  // namespace gptvq

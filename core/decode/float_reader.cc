// Rows of the linears that have no int8 form: each row is decoded to floats first.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "core/base/dtype.h"
#include "core/decode/code_kernels.h"
#include "core/decode/row_reader.h"
#include "core/spec/bit_packing.h"

namespace gptvq {
namespace {

std::int64_t RoundUp(std::int64_t value, std::int64_t step) { return (value + step - 1) / step * step; }

// What both kinds share: no blocks, products by DotFloats.
class FloatReader : public RowReader {
 public:
  FloatReader(std::int64_t cols, std::vector<std::uint8_t> packed) : cols_(cols), packed_(std::move(packed)) {
    packed_.resize(packed_.size() + kIndexOverread);
    column_of_place_.assign(RoundUp(cols, kBlockLanes), kNoColumn);
    std::iota(column_of_place_.begin(), column_of_place_.begin() + cols, 0);
  }

  float DotRow(std::int64_t row, const float* prepared, RowScratch& scratch) const override {
    const std::int64_t places = static_cast<std::int64_t>(column_of_place_.size());
    scratch.weights.resize(places, 0.0f);
    ReadRow(row, scratch.weights.data(), scratch);
    return DotFloats(scratch.weights.data(), prepared, places);
  }

 protected:
  const std::int64_t cols_;
  std::vector<std::uint8_t> packed_;
};

class VectorFloatReader final : public FloatReader {
 public:
  VectorFloatReader(const VectorQuantizedLinear& linear, std::vector<std::uint8_t> packed_indices)
      : FloatReader(linear.layout.cols(), std::move(packed_indices)),
        dim_(linear.vector_dim),
        bits_(linear.index_bits),
        block_columns_(linear.block_scales.block_columns),
        layout_(linear.layout),
        codebooks_(linear.DecodedCodebooks()),
        block_codes_(linear.block_scales.codes),
        block_table_(BlockScaleTable(linear.block_scales)) {
    for (const Stripe& stripe : layout_.stripes()) {
      row_bytes_ += PackedRowBytes(stripe.column_count / dim_, bits_);
      max_indices_ = std::max(max_indices_, RoundUp(stripe.column_count / dim_, kIndexStep));
    }
  }

  void ReadRow(std::int64_t row, float* weights_out, RowScratch& scratch) const override {
    scratch.indices.resize(max_indices_);
    const std::uint8_t* bytes = packed_.data() + row * row_bytes_;
    for (const Stripe& stripe : layout_.stripes()) {
      const std::int64_t count = stripe.column_count / dim_;
      UnpackIndices(bytes, bits_, RoundUp(count, kIndexStep), scratch.indices.data());
      bytes += PackedRowBytes(count, bits_);
      const std::int64_t group = stripe.first_group + RowBlockOf(layout_, stripe, row);
      const float* codebook = codebooks_.data() + (group << bits_) * dim_;
      const std::uint8_t* indices = scratch.indices.data();
      if (dim_ == 1) CopyEntries<1>(codebook, indices, count, weights_out + stripe.column_begin);
      if (dim_ == 2) CopyEntries<2>(codebook, indices, count, weights_out + stripe.column_begin);
      if (dim_ == 4) CopyEntries<4>(codebook, indices, count, weights_out + stripe.column_begin);
    }
    if (block_columns_ == 0) return;
    const std::int64_t blocks = static_cast<std::int64_t>(block_table_.size()) / 16;
    for (std::int64_t b = 0; b < blocks; ++b) {
      const float scale = block_table_[16 * b + block_codes_[row * blocks + b]];
      const std::int64_t end = std::min((b + 1) * block_columns_, cols_);
      for (std::int64_t c = b * block_columns_; c < end; ++c) weights_out[c] *= scale;
    }
  }

 private:
  template <int Dim>
  static void CopyEntries(const float* entries, const std::uint8_t* indices, std::int64_t count, float* out) {
    for (std::int64_t i = 0; i < count; ++i)
      std::memcpy(out + i * Dim, entries + indices[i] * Dim, Dim * sizeof(float));
  }

  const std::int64_t dim_;
  const int bits_;
  const std::int64_t block_columns_;
  const GroupLayout layout_;
  const std::vector<float> codebooks_;           // [G, K, d]
  const std::vector<std::uint8_t> block_codes_;  // [R, blocks]
  const std::vector<float> block_table_;         // [blocks][16]
  std::int64_t row_bytes_ = 0;
  std::int64_t max_indices_ = 0;
};

class UniformFloatReader final : public FloatReader {
 public:
  UniformFloatReader(const UniformQuantizedLinear& linear, std::vector<std::uint8_t> packed_codes)
      : FloatReader(linear.cols, std::move(packed_codes)),
        bits_(linear.bits),
        group_columns_(linear.group_columns),
        groups_per_row_(linear.groups_per_row()),
        scales_(linear.scales),
        zero_points_(linear.zero_points) {
    std::copy(linear.permutation.begin(), linear.permutation.end(), column_of_place_.begin());
  }

  void ReadRow(std::int64_t row, float* weights_out, RowScratch& scratch) const override {
    scratch.indices.resize(RoundUp(cols_, kIndexStep));
    UnpackIndices(packed_.data() + row * PackedRowBytes(cols_, bits_), bits_, RoundUp(cols_, kIndexStep),
                  scratch.indices.data());
    for (std::int64_t i = 0; i < cols_; ++i) {
      const std::int64_t group = row * groups_per_row_ + i / group_columns_;
      const int level = int{scratch.indices[i]} - int{zero_points_[group]};
      weights_out[i] = HalfToFloat(scales_[group]) * static_cast<float>(level);
    }
  }

 private:
  const int bits_;
  const std::int64_t group_columns_;
  const std::int64_t groups_per_row_;
  const std::vector<std::uint16_t> scales_;
  const std::vector<std::uint8_t> zero_points_;
};

}  // namespace

std::vector<float> BlockScaleTable(const BlockScales& scales) {
  std::vector<float> table;
  for (std::size_t b = 0; b < scales.offsets.size(); ++b) {
    for (int code = 0; code < 16; ++code) {
      table.push_back(std::exp2(scales.offsets[b] + scales.steps[b] * static_cast<float>(code)));
    }
  }
  return table;
}

std::unique_ptr<RowReader> MakeFloatReader(const VectorQuantizedLinear& linear,
                                           std::vector<std::uint8_t> packed_indices) {
  return std::make_unique<VectorFloatReader>(linear, std::move(packed_indices));
}

std::unique_ptr<RowReader> MakeFloatReader(const UniformQuantizedLinear& linear,
                                           std::vector<std::uint8_t> packed_codes) {
  return std::make_unique<UniformFloatReader>(linear, std::move(packed_codes));
}

}  // namespace gptvq

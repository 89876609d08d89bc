// Rows of vector-quantized linears with int8 codebooks, as codes and scales.
//
// Codebooks are kept as component planes, so that sixteen to sixty-four indices are looked up at once by byte shuffles; in
// stripes too narrow for that, vectors are copied one by one. Either way the row's codes end in blocks of 64 bytes.

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "core/decode/code_kernels.h"
#include "core/decode/row_reader.h"
#include "core/spec/bit_packing.h"

namespace gptvq {
namespace {

constexpr std::int64_t kMinPlaneIndices = 32;  // fewer indices would leave most of a block empty

std::int64_t CeilDivide(std::int64_t value, std::int64_t step) { return (value + step - 1) / step; }
std::int64_t RoundUp(std::int64_t value, std::int64_t step) { return CeilDivide(value, step) * step; }

// Where the codes of a stripe come from and go to.
struct StripeCodes {
  Stripe stripe;
  std::int64_t index_offset = 0;  // bytes, within a packed row
  std::int64_t index_count = 0;
  std::int64_t index_begin = 0;  // within the unpacked row; a multiple of 64
  std::int64_t code_begin = 0;   // a multiple of 64
  std::int64_t code_count = 0;
  bool is_planar = false;
};

class VectorCodeReader final : public RowReader {
 public:
  VectorCodeReader(const VectorLayout& layout, const VectorQuantizedLinear& linear,
                   std::vector<std::uint8_t> packed_indices)
      : dim_(layout.vector_dim),
        bits_(layout.index_bits),
        block_columns_(layout.block_scale_columns),
        layout_(linear.layout),
        packed_(std::move(packed_indices)),
        block_codes_(linear.block_scales.codes),
        block_table_(BlockScaleTable(linear.block_scales)),
        codebook_scales_(std::get<Int8Codebooks>(linear.codebooks).scales) {
    PlanStripes();
    MapColumns();
    ArrangeCodebooks(std::get<Int8Codebooks>(linear.codebooks).codes);
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
  void PlanStripes() {
    std::int64_t index_offset = 0;
    for (const Stripe& stripe : layout_.stripes()) {
      StripeCodes& codes = stripes_.emplace_back(StripeCodes{.stripe = stripe});
      codes.index_offset = index_offset;
      codes.index_count = stripe.column_count / dim_;
      codes.is_planar = codes.index_count >= kMinPlaneIndices;
      codes.code_begin = code_count_;
      codes.code_count =
          codes.is_planar ? RoundUp(codes.index_count, kBlockCodes) * dim_ : RoundUp(stripe.column_count, kBlockCodes);
      index_offset += PackedRowBytes(codes.index_count, bits_);
      code_count_ += codes.code_count;
      codes.index_begin = index_places_;
      index_places_ += RoundUp(codes.index_count, kBlockCodes);
    }
    row_bytes_ = index_offset;
  }

  // Byte 4 * lane + j of a block of codes is place 16 * j + lane of that block.
  static std::int64_t PlaceOf(std::int64_t code) {
    return code / kBlockCodes * kBlockCodes + code % 4 * kBlockLanes + code % kBlockCodes / 4;
  }

  // The column of every place.
  void MapColumns() {
    column_of_place_.assign(code_count_, kNoColumn);
    for (const StripeCodes& codes : stripes_) {
      for (std::int64_t i = 0; i < codes.index_count; ++i) {
        for (std::int64_t c = 0; c < dim_; ++c) {
          const std::int64_t code =
              codes.code_begin +
              (codes.is_planar ? (i / kBlockCodes * dim_ + c) * kBlockCodes + i % kBlockCodes : i * dim_ + c);
          column_of_place_[PlaceOf(code)] = static_cast<std::int32_t>(codes.stripe.column_begin + i * dim_ + c);
        }
      }
    }
  }

  // Planes [G][d][plane bytes], or entries [G][K][d] as stored.
  void ArrangeCodebooks(const std::vector<std::int8_t>& codes) {
    const std::int64_t centroids = std::int64_t{1} << bits_;
    plane_bytes_ = static_cast<int>(std::max<std::int64_t>(16, centroids));
    entries_ = codes;
    entries_.resize(entries_.size() + sizeof(std::uint32_t));
    planes_.assign(layout_.group_count() * dim_ * plane_bytes_, 0);
    for (std::int64_t g = 0; g < layout_.group_count(); ++g) {
      for (std::int64_t k = 0; k < centroids; ++k) {
        for (std::int64_t c = 0; c < dim_; ++c) {
          planes_[(g * dim_ + c) * plane_bytes_ + k] = codes[(g * centroids + k) * dim_ + c];
        }
      }
    }
  }

  void LoadRow(std::int64_t row, RowScratch& scratch) const {
    if (scratch.stripe_groups.empty()) Size(scratch);
    const std::int64_t block_count = static_cast<std::int64_t>(scratch.block_scales.size());
    for (std::int64_t b = 0; b < block_count; ++b) {
      scratch.block_scales[b] = block_table_[16 * b + block_codes_[row * block_count + b]];
    }
    scratch.lookups.clear();
    UnpackRow(row, scratch);
    for (std::size_t s = 0; s < stripes_.size(); ++s) {
      const StripeCodes& codes = stripes_[s];
      const std::int64_t group = codes.stripe.first_group + RowBlockOf(layout_, codes.stripe, row);
      LoadCodes(codes, group, scratch);
      if (block_count > 0 || scratch.stripe_groups[s] != group) LoadScales(codes, group, scratch);
      scratch.stripe_groups[s] = group;
    }
    LookUpPlanes(scratch.lookups, plane_bytes_, static_cast<int>(dim_));
  }

  void Size(RowScratch& scratch) const {
    scratch.indices.assign(index_places_, 0);
    scratch.codes.assign(code_count_, 0);
    scratch.lane_scales.assign(code_count_ / 4, 0.0f);
    scratch.stripe_groups.assign(stripes_.size(), -1);
    scratch.block_scales.resize(block_table_.size() / 16);
    scratch.lookups.reserve(stripes_.size());
  }

  // Indices of a stripe go to index_begin on. Stripes whose indices are a multiple of 64 follow each other without gap in
  // the packed row and here, and are unpacked together.
  void UnpackRow(std::int64_t row, RowScratch& scratch) const {
    const std::uint8_t* bytes = packed_.data() + row * row_bytes_;
    std::size_t s = 0;
    while (s < stripes_.size()) {
      const StripeCodes& first = stripes_[s];
      std::int64_t count = stripes_[s].index_count;
      while (++s < stripes_.size() && count % kBlockCodes == 0) count += stripes_[s].index_count;
      UnpackIndices(bytes + first.index_offset, bits_, RoundUp(count, kIndexStep),
                    scratch.indices.data() + first.index_begin);
    }
  }

  void LoadCodes(const StripeCodes& codes, std::int64_t group, RowScratch& scratch) const {
    const std::uint8_t* indices = scratch.indices.data() + codes.index_begin;
    std::int8_t* out = scratch.codes.data() + codes.code_begin;
    if (codes.is_planar) {
      scratch.lookups.push_back(
          {indices, RoundUp(codes.index_count, kBlockCodes), planes_.data() + group * dim_ * plane_bytes_, out});
      return;
    }
    const std::int8_t* entries = entries_.data() + (group << bits_) * dim_;
    if (dim_ == 1) CopyEntries<1>(entries, indices, codes.index_count, out);
    if (dim_ == 2) CopyEntries<2>(entries, indices, codes.index_count, out);
    if (dim_ == 4) CopyEntries<4>(entries, indices, codes.index_count, out);
  }

  template <int Dim>
  static void CopyEntries(const std::int8_t* entries, const std::uint8_t* indices, std::int64_t count,
                          std::int8_t* out) {
    for (std::int64_t i = 0; i < count; ++i) std::memcpy(out + i * Dim, entries + indices[i] * Dim, Dim);
  }

  void LoadScales(const StripeCodes& codes, std::int64_t group, RowScratch& scratch) const {
    float* scales = scratch.lane_scales.data() + codes.code_begin / 4;
    const float codebook_scale = codebook_scales_[group];
    if (block_columns_ == 0) {
      std::fill_n(scales, codes.code_count / 4, codebook_scale);
      return;
    }
    // Lanes that share a block scale: each stands for four vectors of a plane, or for four columns of copied vectors.
    const std::int64_t lanes_per_block = block_columns_ / (codes.is_planar ? 4 * dim_ : 4);
    const float* blocks = scratch.block_scales.data() + codes.stripe.column_begin / block_columns_;
    const std::int64_t copies = codes.is_planar ? dim_ : 1;  // every plane of a block of indices has the same scales
    const std::int64_t lanes = codes.code_count / 4 / copies;
    const std::int64_t block_count = CeilDivide(codes.stripe.column_count, block_columns_);
    switch (std::min(lanes_per_block, kBlockLanes)) {
      case 1: return SpreadScales<1>({blocks, block_count, lanes_per_block, codebook_scale}, lanes, copies, scales);
      case 2: return SpreadScales<2>({blocks, block_count, lanes_per_block, codebook_scale}, lanes, copies, scales);
      case 4: return SpreadScales<4>({blocks, block_count, lanes_per_block, codebook_scale}, lanes, copies, scales);
      case 8: return SpreadScales<8>({blocks, block_count, lanes_per_block, codebook_scale}, lanes, copies, scales);
      default: return SpreadScales<16>({blocks, block_count, lanes_per_block, codebook_scale}, lanes, copies, scales);
    }
  }

  struct ScaleRun {
    const float* blocks;
    std::int64_t block_count;
    std::int64_t lanes_per_block;
    float factor;
  };

  // Sixteen lanes at a time, in runs of `Run` lanes that share a scale. Lanes of padding take the last scale.
  template <int Run>
  static void SpreadScales(const ScaleRun& run, std::int64_t lanes, std::int64_t copies, float* __restrict scales_out) {
    for (std::int64_t first = 0; first < lanes; first += kBlockLanes) {
      std::array<float, kBlockLanes> scales;
      for (std::int64_t r = 0; r < kBlockLanes / Run; ++r) {
        const std::int64_t block = std::min((first + r * Run) / run.lanes_per_block, run.block_count - 1);
        const float scale = run.factor * run.blocks[block];
        for (int lane = 0; lane < Run; ++lane) scales[r * Run + lane] = scale;
      }
      for (std::int64_t c = 0; c < copies; ++c, scales_out += kBlockLanes) {
        std::copy(scales.begin(), scales.end(), scales_out);
      }
    }
  }

  const std::int64_t dim_;
  const int bits_;
  const std::int64_t block_columns_;
  const GroupLayout layout_;
  std::vector<std::uint8_t> packed_;
  const std::vector<std::uint8_t> block_codes_;  // [R, blocks]
  const std::vector<float> block_table_;         // [blocks][16]
  const std::vector<float> codebook_scales_;
  std::vector<std::int8_t> planes_;
  std::vector<std::int8_t> entries_;
  int plane_bytes_ = 0;
  std::vector<StripeCodes> stripes_;
  std::int64_t row_bytes_ = 0;
  std::int64_t code_count_ = 0;
  std::int64_t index_places_ = 0;
};

}  // namespace

bool HasCodeReader(const VectorLayout& layout) {
  const std::int64_t width = std::min<std::int64_t>(layout.columns_per_group, layout.group_weights);
  const std::int64_t lane_columns = 4 * layout.vector_dim;  // of planes; copied entries need four columns
  const bool scales_fit = layout.block_scale_columns == 0 ||
                          (layout.block_scale_columns % lane_columns == 0 && width % layout.block_scale_columns == 0);
  return layout.codebook == CodebookKind::kInt8 && scales_fit;
}

std::unique_ptr<RowReader> MakeVectorCodeReader(const VectorLayout& layout, const VectorQuantizedLinear& linear,
                                                std::vector<std::uint8_t> packed_indices) {
  GPTVQ_CHECK(HasCodeReader(layout));
  return std::make_unique<VectorCodeReader>(layout, linear, std::move(packed_indices));
}

}  // namespace gptvq

#include "core/decode/code_kernels.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/decode/index_cuts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/decode/code_kernels.cc"
#include "hwy/foreach_target.h"  // must come before highway.h

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace gptvq {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, kBlockLanes>;
using FloatVector = hn::Vec<FloatTag>;
using WordTag = hn::RebindToSigned<FloatTag>;

void UnpackSixteens(const std::uint8_t* HWY_RESTRICT bytes, int bits, std::int64_t count,
                    std::uint8_t* HWY_RESTRICT indices_out) {
  if (bits == 8) {
    std::memcpy(indices_out, bytes, static_cast<std::size_t>(count));
    return;
  }
  const hn::CappedTag<std::uint16_t, 16> d16;
  const hn::RebindToSigned<decltype(d16)> d16_signed;
  const hn::Repartition<std::uint8_t, decltype(d16)> d8;
  const hn::Rebind<std::uint8_t, decltype(d16)> d8_half;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d16));
  const IndexCut& cut = kIndexCuts[bits];
  const auto mask = hn::Set(d16, static_cast<std::uint16_t>((1 << bits) - 1));
  for (std::int64_t i = 0; i < count; i += kIndexStep) {
    const auto source = hn::LoadDup128(d8, bytes + i * bits / 8);
    for (std::int64_t lane = 0; lane < kIndexStep; lane += lanes) {
      const auto pairs = hn::BitCast(d16, hn::TableLookupBytes(source, hn::LoadU(d8, cut.bytes.data() + 2 * lane)));
      const auto raised = hn::Mul(pairs, hn::LoadU(d16, cut.factors.data() + lane));
      const auto indices = hn::And(hn::ShiftRight<8>(raised), mask);
      hn::StoreU(hn::DemoteTo(d8_half, hn::BitCast(d16_signed, indices)), d8_half, indices_out + i + lane);
    }
  }
}

// The entries of one plane of 16, 32, 64, 128 or 256 bytes at `indices`, by halving: sixteen entries are one byte shuffle,
// then each further bit of an index chooses between two halves. `low` holds the lower four bits of each index.
template <int kPlaneBytes, class D, class V = hn::Vec<D>>
HWY_INLINE V LookUp(D d8, const std::uint8_t* HWY_RESTRICT plane, V indices, V low) {
  if constexpr (kPlaneBytes == 16) {
    return hn::TableLookupBytes(hn::LoadDup128(d8, plane), low);
  } else {
    constexpr int kHalf = kPlaneBytes / 2;
    const auto in_upper = hn::TestBit(indices, hn::Set(d8, static_cast<std::uint8_t>(kHalf)));
    const V lower_entries = LookUp<kHalf>(d8, plane, indices, low);
    return hn::IfThenElse(in_upper, LookUp<kHalf>(d8, plane + kHalf, indices, low), lower_entries);
  }
}

template <int kPlaneBytes>
void LookUpPlanesOf(const std::uint8_t* HWY_RESTRICT indices, std::int64_t count,
                    const std::uint8_t* HWY_RESTRICT planes, int dim, std::uint8_t* HWY_RESTRICT codes_out) {
  const hn::CappedTag<std::uint8_t, kBlockCodes> d8;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d8));
  const auto fifteen = hn::Set(d8, std::uint8_t{15});
  for (std::int64_t i = 0; i < count; i += kBlockCodes) {
    for (std::int64_t lane = 0; lane < kBlockCodes; lane += lanes) {
      const auto index = hn::LoadU(d8, indices + i + lane);
      const auto low = hn::And(index, fifteen);
      for (int c = 0; c < dim; ++c) {
        hn::StoreU(LookUp<kPlaneBytes>(d8, planes + c * kPlaneBytes, index, low), d8,
                   codes_out + i * dim + c * kBlockCodes + lane);
      }
    }
  }
}

void LookUpAll(absl::Span<const PlaneLookup> lookups, int plane_bytes, int dim) {
  for (const PlaneLookup& lookup : lookups) {
    const auto* planes = reinterpret_cast<const std::uint8_t*>(lookup.planes);
    auto* out = reinterpret_cast<std::uint8_t*>(lookup.codes_out);
    if (plane_bytes == 16) LookUpPlanesOf<16>(lookup.indices, lookup.index_count, planes, dim, out);
    if (plane_bytes == 32) LookUpPlanesOf<32>(lookup.indices, lookup.index_count, planes, dim, out);
    if (plane_bytes == 64) LookUpPlanesOf<64>(lookup.indices, lookup.index_count, planes, dim, out);
    if (plane_bytes == 128) LookUpPlanesOf<128>(lookup.indices, lookup.index_count, planes, dim, out);
    if (plane_bytes == 256) LookUpPlanesOf<256>(lookup.indices, lookup.index_count, planes, dim, out);
  }
}

// Byte j of every word, sign-extended, as a float.
template <int j, class V>
HWY_INLINE FloatVector ByteAsFloat(V words) {
  return hn::ConvertTo(FloatTag(), hn::ShiftRight<24>(hn::ShiftLeft<24 - 8 * j>(words)));
}

float SumInOrder(std::array<float, kBlockLanes>& lanes) {
  for (std::int64_t width = kBlockLanes / 2; width > 0; width /= 2) {
    for (std::int64_t i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

// Adds up one slice of `Lanes` of the 16 lanes over all blocks. With narrower vectors there are several slices.
HWY_INLINE void DotSlice(const std::int8_t* HWY_RESTRICT codes, const float* HWY_RESTRICT lane_scales,
                         const float* HWY_RESTRICT x, std::int64_t block_count, std::int64_t lane,
                         float* HWY_RESTRICT sums_out) {
  const FloatTag df;
  const WordTag dw;
  FloatVector sum = hn::Zero(df);
  for (std::int64_t b = 0; b < block_count; ++b) {
    const auto words = hn::LoadU(dw, reinterpret_cast<const std::int32_t*>(codes + kBlockCodes * b) + lane);
    const float* HWY_RESTRICT xb = x + kBlockCodes * b + lane;
    FloatVector block = hn::Mul(ByteAsFloat<0>(words), hn::LoadU(df, xb));
    block = hn::MulAdd(ByteAsFloat<1>(words), hn::LoadU(df, xb + kBlockLanes), block);
    block = hn::MulAdd(ByteAsFloat<2>(words), hn::LoadU(df, xb + 2 * kBlockLanes), block);
    block = hn::MulAdd(ByteAsFloat<3>(words), hn::LoadU(df, xb + 3 * kBlockLanes), block);
    sum = hn::MulAdd(hn::LoadU(df, lane_scales + kBlockLanes * b + lane), block, sum);
  }
  hn::StoreU(sum, df, sums_out + lane);
}

float DotBlocks(const std::int8_t* codes, const float* lane_scales, const float* x, std::int64_t block_count) {
  std::array<float, kBlockLanes> sums;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(FloatTag()));
  for (std::int64_t lane = 0; lane < kBlockLanes; lane += lanes) {
    DotSlice(codes, lane_scales, x, block_count, lane, sums.data());
  }
  return SumInOrder(sums);
}

void ScaleBlocks(const std::int8_t* HWY_RESTRICT codes, const float* HWY_RESTRICT lane_scales, std::int64_t block_count,
                 float* HWY_RESTRICT weights_out) {
  const FloatTag df;
  const WordTag dw;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  for (std::int64_t b = 0; b < block_count; ++b) {
    for (std::int64_t lane = 0; lane < kBlockLanes; lane += lanes) {
      const auto words = hn::LoadU(dw, reinterpret_cast<const std::int32_t*>(codes + kBlockCodes * b) + lane);
      const FloatVector scale = hn::LoadU(df, lane_scales + kBlockLanes * b + lane);
      float* HWY_RESTRICT out = weights_out + kBlockCodes * b + lane;
      hn::StoreU(hn::Mul(scale, ByteAsFloat<0>(words)), df, out);
      hn::StoreU(hn::Mul(scale, ByteAsFloat<1>(words)), df, out + kBlockLanes);
      hn::StoreU(hn::Mul(scale, ByteAsFloat<2>(words)), df, out + 2 * kBlockLanes);
      hn::StoreU(hn::Mul(scale, ByteAsFloat<3>(words)), df, out + 3 * kBlockLanes);
    }
  }
}

float DotSixteens(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x, std::int64_t count) {
  const FloatTag df;
  std::array<float, kBlockLanes> sums;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  for (std::int64_t lane = 0; lane < kBlockLanes; lane += lanes) {
    FloatVector sum = hn::Zero(df);
    for (std::int64_t i = lane; i < count; i += kBlockLanes) {
      sum = hn::MulAdd(hn::LoadU(df, weights + i), hn::LoadU(df, x + i), sum);
    }
    hn::StoreU(sum, df, sums.data() + lane);
  }
  return SumInOrder(sums);
}

// Four rows of weights by `Tokens` rows of x.
template <int Tokens>
void AddProductOf(MatrixView<const float> x, MatrixView<const float> weights, std::int64_t token, std::int64_t row,
                  MatrixView<float> y_out) {
  const FloatTag df;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const std::int64_t whole = x.cols / lanes * lanes;
  FloatVector sum[4][Tokens];
  for (int r = 0; r < 4; ++r) {
    for (int t = 0; t < Tokens; ++t) sum[r][t] = hn::Zero(df);
  }
  for (std::int64_t c = 0; c < whole; c += lanes) {
    FloatVector xs[Tokens];
    for (int t = 0; t < Tokens; ++t) xs[t] = hn::LoadU(df, x.row(token + t) + c);
    for (int r = 0; r < 4; ++r) {
      const FloatVector w = hn::LoadU(df, weights.row(row + r) + c);
      for (int t = 0; t < Tokens; ++t) sum[r][t] = hn::MulAdd(w, xs[t], sum[r][t]);
    }
  }
  const int rows = static_cast<int>(std::min<std::int64_t>(4, y_out.cols - row));
  for (int r = 0; r < rows; ++r) {
    for (int t = 0; t < Tokens; ++t) {
      float total = hn::GetLane(hn::SumOfLanes(df, sum[r][t]));
      for (std::int64_t c = whole; c < x.cols; ++c) total += weights.at(row + r, c) * x.at(token + t, c);
      y_out.at(token + t, row + r) += total;
    }
  }
}

void AddProductOfTile(MatrixView<const float> x, MatrixView<const float> weights, MatrixView<float> y_out) {
  for (std::int64_t token = 0; token < x.rows; token += 4) {
    const std::int64_t tokens = std::min<std::int64_t>(4, x.rows - token);
    for (std::int64_t row = 0; row < y_out.cols; row += 4) {
      if (tokens == 4) AddProductOf<4>(x, weights, token, row, y_out);
      if (tokens == 3) AddProductOf<3>(x, weights, token, row, y_out);
      if (tokens == 2) AddProductOf<2>(x, weights, token, row, y_out);
      if (tokens == 1) AddProductOf<1>(x, weights, token, row, y_out);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace gptvq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptvq {

HWY_EXPORT(UnpackSixteens);
HWY_EXPORT(LookUpAll);
HWY_EXPORT(DotBlocks);
HWY_EXPORT(ScaleBlocks);
HWY_EXPORT(DotSixteens);
HWY_EXPORT(AddProductOfTile);

void UnpackIndices(const std::uint8_t* bytes, int bits, std::int64_t count, std::uint8_t* indices_out) {
  HWY_DYNAMIC_DISPATCH(UnpackSixteens)(bytes, bits, count, indices_out);
}

void LookUpPlanes(absl::Span<const PlaneLookup> lookups, int plane_bytes, int dim) {
  HWY_DYNAMIC_DISPATCH(LookUpAll)(lookups, plane_bytes, dim);
}

void ScaleCodes(const std::int8_t* codes, const float* lane_scales, std::int64_t block_count, float* weights_out) {
  HWY_DYNAMIC_DISPATCH(ScaleBlocks)(codes, lane_scales, block_count, weights_out);
}

float DotCodes(const std::int8_t* codes, const float* lane_scales, const float* x, std::int64_t block_count) {
  return HWY_DYNAMIC_DISPATCH(DotBlocks)(codes, lane_scales, x, block_count);
}

float DotFloats(const float* weights, const float* x, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(DotSixteens)(weights, x, count);
}

void AddProduct(MatrixView<const float> x, MatrixView<const float> weights, MatrixView<float> y_out) {
  HWY_DYNAMIC_DISPATCH(AddProductOfTile)(x, weights, y_out);
}

}  // namespace gptvq
#endif  // HWY_ONCE

#include "core/cpu/decode_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/decode_kernels.cc"
#include "hwy/foreach_target.h"  // must come before highway.h

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace gptvq {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// d numbers in a register of that size.
template <int D>
using VectorTag = hn::FixedTag<float, D>;

template <int D>
HWY_INLINE hn::Vec<VectorTag<D>> Entry(const float* HWY_RESTRICT centroids, std::uint8_t index) {
  return hn::LoadU(VectorTag<D>(), centroids + std::int64_t{index} * D);
}

template <int D>
void DecodeEach(const DecodeTable& table, const std::uint8_t* HWY_RESTRICT indices, std::int64_t count,
                float* HWY_RESTRICT weights_out) {
  const VectorTag<D> d;
  const float* HWY_RESTRICT centroids = table.centroids;
  std::int64_t i = 0;
  if constexpr (D == 2) {  // two at a time: half as many stores
    const hn::FixedTag<float, 4> pair;
    const auto pair_scale = hn::Set(pair, table.scale);
    for (; i + 2 <= count; i += 2) {
      const auto both = hn::Combine(pair, Entry<D>(centroids, indices[i + 1]), Entry<D>(centroids, indices[i]));
      hn::StoreU(hn::Mul(pair_scale, both), pair, weights_out + i * D);
    }
  }
  const auto scale = hn::Set(d, table.scale);
  for (; i < count; ++i) hn::StoreU(hn::Mul(scale, Entry<D>(centroids, indices[i])), d, weights_out + i * D);
}

// d = 1 and a codebook that fits into one register: a permutation looks up a whole register at once.
void DecodeByPermutation(const DecodeTable& table, const std::uint8_t* HWY_RESTRICT indices, std::int64_t count,
                         float* HWY_RESTRICT weights_out) {
  const hn::CappedTag<float, 16> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<std::uint8_t, decltype(di)> bytes;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  HWY_ALIGN float padded[16] = {};
  for (std::int64_t k = 0; k < table.count; ++k) padded[k] = table.scale * table.centroids[k];
  const auto codebook = hn::Load(df, padded);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto k = hn::PromoteTo(di, hn::LoadU(bytes, indices + i));
    hn::StoreU(hn::TableLookupLanes(codebook, hn::IndicesFromVec(df, k)), df, weights_out + i);
  }
  for (; i < count; ++i) weights_out[i] = padded[indices[i]];
}

void DecodeOfAnyDim(const DecodeTable& table, const std::uint8_t* indices, std::int64_t count, float* weights_out) {
  if (table.vector_dim == 4) return DecodeEach<4>(table, indices, count, weights_out);
  if (table.vector_dim == 2) return DecodeEach<2>(table, indices, count, weights_out);
  const bool one_register = table.count <= static_cast<std::int64_t>(hn::Lanes(hn::CappedTag<float, 16>()));
  if (one_register) return DecodeByPermutation(table, indices, count, weights_out);
  return DecodeEach<1>(table, indices, count, weights_out);
}

template <int D>
void AddEach(const SumTable& table, const std::uint8_t* HWY_RESTRICT indices, std::int64_t count,
             const float* HWY_RESTRICT x) {
  const VectorTag<D> d;
  const auto scale = hn::Set(d, table.scale);
  constexpr int kCopies = SumCopies(D);
  float* HWY_RESTRICT sums = table.sums;
  const auto add = [&](std::int64_t i, int copy) HWY_ATTR {
    float* sum = sums + std::int64_t{indices[i]} * (kCopies * D) + copy * D;
    hn::StoreU(hn::MulAdd(scale, hn::LoadU(d, x + i * D), hn::LoadU(d, sum)), d, sum);
  };
  std::int64_t i = 0;
  for (; i + kCopies <= count; i += kCopies) {
    for (int copy = 0; copy < kCopies; ++copy) add(i + copy, copy);
  }
  for (int copy = 0; i < count; ++i, ++copy) add(i, copy);
}

void AddOfAnyDim(const SumTable& table, const std::uint8_t* indices, std::int64_t count, const float* x) {
  if (table.vector_dim == 4) return AddEach<4>(table, indices, count, x);
  if (table.vector_dim == 2) return AddEach<2>(table, indices, count, x);
  return AddEach<1>(table, indices, count, x);
}

template <int D>
void FoldEach(const float* HWY_RESTRICT copies, std::int64_t centroid_count, float* HWY_RESTRICT sums_out) {
  const VectorTag<D> d;
  for (std::int64_t k = 0; k < centroid_count; ++k, copies += SumCopies(D) * D) {
    auto sum = hn::LoadU(d, copies);
    for (int copy = 1; copy < SumCopies(D); ++copy) sum = hn::Add(sum, hn::LoadU(d, copies + copy * D));
    hn::StoreU(sum, d, sums_out + k * D);
  }
}

void FoldOfAnyDim(const SumTable& table, std::int64_t centroid_count, float* sums_out) {
  if (table.vector_dim == 4) return FoldEach<4>(table.sums, centroid_count, sums_out);
  if (table.vector_dim == 2) return FoldEach<2>(table.sums, centroid_count, sums_out);
  return FoldEach<1>(table.sums, centroid_count, sums_out);
}

}  // namespace HWY_NAMESPACE
}  // namespace gptvq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptvq {

HWY_EXPORT(DecodeOfAnyDim);
HWY_EXPORT(AddOfAnyDim);
HWY_EXPORT(FoldOfAnyDim);

void DecodeRun(const DecodeTable& table, const std::uint8_t* indices, std::int64_t count, float* weights_out) {
  HWY_DYNAMIC_DISPATCH(DecodeOfAnyDim)(table, indices, count, weights_out);
}

void AddRun(const SumTable& table, const std::uint8_t* indices, std::int64_t count, const float* x) {
  HWY_DYNAMIC_DISPATCH(AddOfAnyDim)(table, indices, count, x);
}

void FoldCopies(const SumTable& table, std::int64_t centroid_count, float* sums_out) {
  HWY_DYNAMIC_DISPATCH(FoldOfAnyDim)(table, centroid_count, sums_out);
}

}  // namespace gptvq
#endif  // HWY_ONCE

// Vector code shared by the sweep and the refinement: the nearest of K centroids for the vectors at one position of several rows at
// once, one row per lane. Compiled once per instruction set; include only after hwy/foreach_target.h.
//
// The distance of centroid c is c' D c + b . c, which differs by a constant from ||t - s c||^2_D / s^2 when b = -2 D t / s.
// It is always summed as (((c' D c) + b_0 c_0) + b_1 c_1) + ..., with the quadratic form in the order of QuadraticForm,
// whether the rows share a codebook or not: so it does not matter which rows are taken together.
#if defined(GPTVQ_CORE_CPU_NEAREST_CENTROID_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GPTVQ_CORE_CPU_NEAREST_CENTROID_INL_H_
#undef GPTVQ_CORE_CPU_NEAREST_CENTROID_INL_H_
#else
#define GPTVQ_CORE_CPU_NEAREST_CENTROID_INL_H_
#endif

#include <cstring>
#include <limits>

#include "core/cpu/row_tile.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace gptvq {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, 16>;
using IndexTag = hn::RebindToSigned<FloatTag>;
using FloatVector = hn::Vec<FloatTag>;
using IndexVector = hn::Vec<IndexTag>;

// Vectors of lanes that are worked on together, to hide the latency of one by the other.
inline constexpr int kChains = 2;

template <int D>
using Components = FloatVector[kChains][D];  // component j of the lanes of chain v

inline std::int64_t ChunkLanes() { return static_cast<std::int64_t>(hn::Lanes(FloatTag())) * kChains; }

// sum over i >= j of metric_ij c_i c_j; `metric` is the upper triangle by columns of c' D c: D_00, 2 D_10, D_11, ...
template <int D>
HWY_INLINE FloatVector QuadraticForm(const float* HWY_RESTRICT metric, const FloatVector (&c)[D]) {
  const FloatTag df;
  FloatVector sum = hn::Zero(df);
  for (int i = 0; i < D; ++i) {
    FloatVector inner = hn::Mul(hn::Set(df, metric[i * (i + 1) / 2]), c[0]);
    for (int j = 1; j <= i; ++j) inner = hn::MulAdd(hn::Set(df, metric[i * (i + 1) / 2 + j]), c[j], inner);
    sum = hn::MulAdd(inner, c[i], sum);
  }
  return sum;
}

template <int D>
HWY_INLINE FloatVector Distance(FloatVector quadratic, const FloatVector (&b)[D], const FloatVector (&c)[D]) {
  for (int j = 0; j < D; ++j) quadratic = hn::MulAdd(b[j], c[j], quadratic);
  return quadratic;
}

// D numbers per lane, interleaved at `from`.
template <int D>
HWY_INLINE void LoadVectors(const float* HWY_RESTRICT from, FloatVector (&out)[D]) {
  const FloatTag df;
  if constexpr (D == 1) out[0] = hn::LoadU(df, from);
  if constexpr (D == 2) hn::LoadInterleaved2(df, from, out[0], out[1]);
  if constexpr (D == 4) hn::LoadInterleaved4(df, from, out[0], out[1], out[2], out[3]);
}

// Centroid indices[lane] of every lane's own codebook; `first_lane` is the chunk's first row within the tile.
template <int D>
HWY_INLINE void TakeCentroids(const TileCodebook& codebook, std::int64_t first_lane,
                              const std::uint8_t* HWY_RESTRICT indices, Components<D>& out) {
  const FloatTag df;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  HWY_ALIGN float gathered[16 * kChains * D];
  for (std::int64_t lane = 0; lane < lanes * kChains; ++lane) {
    std::memcpy(gathered + lane * D, codebook.centroids[first_lane + lane] + indices[lane] * D, D * sizeof(float));
  }
  for (int v = 0; v < kChains; ++v) LoadVectors<D>(gathered + v * lanes * D, out[v]);
}

// Indices are kept as bytes.
HWY_INLINE void StoreIndices(IndexVector indices, std::uint8_t* HWY_RESTRICT to) {
  const hn::Rebind<std::uint8_t, IndexTag> bytes;
  hn::StoreU(hn::DemoteTo(bytes, indices), bytes, to);
}
HWY_INLINE IndexVector LoadIndices(const std::uint8_t* HWY_RESTRICT from) {
  return hn::PromoteTo(IndexTag(), hn::LoadU(hn::Rebind<std::uint8_t, IndexTag>(), from));
}

// Folds centroid number `k` with its distance into the running minimum; strict, so that the smallest k stays.
HWY_INLINE void KeepNearer(FloatVector distance, IndexVector k, FloatVector& best, IndexVector& best_k) {
  const IndexTag di;
  best_k = hn::IfThenElse(hn::RebindMask(di, hn::Lt(distance, best)), k, best_k);
  best = hn::Min(distance, best);
}

// All rows of the tile share the codebook: its entries are broadcast, the quadratic forms computed once, K at a time.
template <int D>
HWY_INLINE void NearestShared(const TileCodebook& codebook, const float* HWY_RESTRICT metric, const Components<D>& b,
                              FloatVector (&best)[kChains], IndexVector (&best_k)[kChains]) {
  const FloatTag df;
  const IndexTag di;
  HWY_ALIGN float quadratic[kMaxCentroids];
  const std::int64_t stride = codebook.plane_stride;
  for (std::int64_t k = 0; k < codebook.count; k += static_cast<std::int64_t>(hn::Lanes(df))) {
    FloatVector c[D];
    for (int j = 0; j < D; ++j) c[j] = hn::LoadU(df, codebook.table + j * stride + k);
    hn::StoreU(QuadraticForm<D>(metric, c), df, quadratic + k);
  }
  IndexVector k_lanes = hn::Zero(di);
  for (std::int64_t k = 0; k < codebook.count; ++k) {
    FloatVector c[D];
    for (int j = 0; j < D; ++j) c[j] = hn::Set(df, codebook.table[j * stride + k]);
    const FloatVector form = hn::Set(df, quadratic[k]);
    for (int v = 0; v < kChains; ++v) KeepNearer(Distance<D>(form, b[v], c), k_lanes, best[v], best_k[v]);
    k_lanes = hn::Add(k_lanes, hn::Set(di, 1));
  }
}

// Rows of several groups: entry j of centroid k is a vector over the rows of the tile.
template <int D>
HWY_INLINE void NearestPerLane(const TileCodebook& codebook, std::int64_t first_lane, const float* HWY_RESTRICT metric,
                               const Components<D>& b, FloatVector (&best)[kChains], IndexVector (&best_k)[kChains]) {
  const FloatTag df;
  const IndexTag di;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  IndexVector k_lanes = hn::Zero(di);
  for (std::int64_t k = 0; k < codebook.count; ++k) {
    for (int v = 0; v < kChains; ++v) {
      FloatVector c[D];
      for (int j = 0; j < D; ++j) {
        c[j] = hn::LoadU(df, codebook.table + (k * D + j) * kTileRows + first_lane + v * lanes);
      }
      KeepNearer(Distance<D>(QuadraticForm<D>(metric, c), b[v], c), k_lanes, best[v], best_k[v]);
    }
    k_lanes = hn::Add(k_lanes, hn::Set(di, 1));
  }
}

// The nearest centroids of the chunk's lanes, and their distances.
template <int D>
HWY_INLINE void Nearest(const TileCodebook& codebook, std::int64_t first_lane, const float* HWY_RESTRICT metric,
                        const Components<D>& b, FloatVector (&best)[kChains], IndexVector (&best_k)[kChains]) {
  for (int v = 0; v < kChains; ++v) {
    best[v] = hn::Set(FloatTag(), std::numeric_limits<float>::infinity());
    best_k[v] = hn::Zero(IndexTag());
  }
  if (codebook.shared) {
    NearestShared<D>(codebook, metric, b, best, best_k);
  } else {
    NearestPerLane<D>(codebook, first_lane, metric, b, best, best_k);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace gptvq
HWY_AFTER_NAMESPACE();

#endif  // include guard per target

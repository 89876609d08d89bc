#include "core/cpu/em_assign.h"

#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/em_assign.cc"
#include "hwy/foreach_target.h"  // must come before highway.h

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace gptvq {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, 16>;
using IndexTag = hn::RebindToSigned<FloatTag>;
using FloatVector = hn::Vec<FloatTag>;
using IndexVector = hn::Vec<IndexTag>;

// Vectors of lanes in flight: as many as 2 d + 2 registers each leave room for (32 registers with AVX-512, else 16).
template <int D>
inline constexpr int kChains = (hn::MaxLanes(FloatTag()) == 16 ? 4 : 2) / (D == 4 ? 2 : 1);

// Vectors n .. n + kChains * lanes - 1.
template <int D>
HWY_INLINE void AssignChunk(const GroupVectors& vectors, const float* HWY_RESTRICT slopes, const Centroids& centroids,
                            std::int64_t n, std::uint8_t* HWY_RESTRICT assigned_out) {
  const FloatTag df;
  const IndexTag di;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  FloatVector w[kChains<D>][D], slope[kChains<D>][D], best[kChains<D>];
  IndexVector best_k[kChains<D>];
  for (int v = 0; v < kChains<D>; ++v) {
    for (int j = 0; j < D; ++j) {
      w[v][j] = hn::LoadU(df, vectors.w(j) + n + v * lanes);
      slope[v][j] = hn::LoadU(df, slopes + j * vectors.stride() + n + v * lanes);
    }
    best[v] = hn::Set(df, std::numeric_limits<float>::infinity());
    best_k[v] = hn::Zero(di);
  }
  const float* HWY_RESTRICT entries = centroids.plane(0);
  const std::int64_t count = centroids.count;
  IndexVector k_lanes = hn::Zero(di);
  for (std::int64_t k = 0; k < count; ++k) {
    FloatVector c[D];
    for (int j = 0; j < D; ++j) c[j] = hn::Set(df, entries[j * count + k]);
    for (int v = 0; v < kChains<D>; ++v) {
      FloatVector distance = hn::Mul(c[0], hn::MulAdd(w[v][0], c[0], slope[v][0]));
      for (int j = 1; j < D; ++j) {
        distance = hn::MulAdd(c[j], hn::MulAdd(w[v][j], c[j], slope[v][j]), distance);
      }
      best_k[v] = hn::IfThenElse(hn::RebindMask(di, hn::Lt(distance, best[v])), k_lanes, best_k[v]);
      best[v] = hn::Min(distance, best[v]);
    }
    k_lanes = hn::Add(k_lanes, hn::Set(di, 1));
  }
  const hn::Rebind<std::uint8_t, IndexTag> bytes;
  for (int v = 0; v < kChains<D>; ++v) {
    hn::StoreU(hn::DemoteTo(bytes, best_k[v]), bytes, assigned_out + n + v * lanes);
  }
}

template <int D>
void AssignAll(const GroupVectors& vectors, const float* slopes, const Centroids& centroids,
               std::uint8_t* assigned_out) {
  const std::int64_t step = static_cast<std::int64_t>(hn::Lanes(FloatTag())) * kChains<D>;
  for (std::int64_t n = 0; n < vectors.stride(); n += step) {
    AssignChunk<D>(vectors, slopes, centroids, n, assigned_out);
  }
}

void AssignOfAnyDim(const GroupVectors& vectors, const float* slopes, const Centroids& centroids,
                    std::uint8_t* assigned_out) {
  if (vectors.dim() == 1) return AssignAll<1>(vectors, slopes, centroids, assigned_out);
  if (vectors.dim() == 2) return AssignAll<2>(vectors, slopes, centroids, assigned_out);
  return AssignAll<4>(vectors, slopes, centroids, assigned_out);
}

}  // namespace HWY_NAMESPACE
}  // namespace gptvq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptvq {

HWY_EXPORT(AssignOfAnyDim);

void AssignVectors(const GroupVectors& vectors, const float* slopes, const Centroids& centroids,
                   std::uint8_t* assigned_out) {
  HWY_DYNAMIC_DISPATCH(AssignOfAnyDim)(vectors, slopes, centroids, assigned_out);
}

}  // namespace gptvq
#endif  // HWY_ONCE

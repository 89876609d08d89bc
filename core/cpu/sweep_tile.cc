// The sweep of one tile. Per position and row: b = -2 D t / s, argmin over the K centroids, error, and the error times a row of M
// added to every later target. Cost per position and vector register: K (d + 2) operations for the choice, d (B - p) fused
// multiply-adds for the feedback, all on the first cache.
#include "core/cpu/tile_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/sweep_tile.cc"
#include "hwy/foreach_target.h"  // must come before highway.h

#include "core/cpu/nearest_centroid-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gptvq {
namespace HWY_NAMESPACE {

// sums[lane] += values, in f64.
HWY_INLINE void AddToSums(FloatVector values, double* HWY_RESTRICT sums) {
  HWY_ALIGN float lanes[16];
  hn::StoreU(values, FloatTag(), lanes);
  for (std::size_t lane = 0; lane < hn::Lanes(FloatTag()); ++lane) sums[lane] += lanes[lane];
}

// target[column] += sum_j error_j M[p + j, column] for the columns after the position.
template <int D>
HWY_INLINE void FeedBack(MatrixView<const float> feedback, std::int64_t p, const Components<D>& error,
                         float* HWY_RESTRICT target) {
  const FloatTag df;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const float* HWY_RESTRICT row = feedback.row(p);
  for (std::int64_t c = p + D; c < feedback.cols; ++c) {
    FloatVector factor[D];
    for (int j = 0; j < D; ++j) factor[j] = hn::Set(df, row[j * feedback.stride + c]);
    for (int v = 0; v < kChains; ++v) {
      float* at = target + c * kTileRows + v * lanes;
      FloatVector sum = hn::LoadU(df, at);
      for (int j = 0; j < D; ++j) sum = hn::MulAdd(error[v][j], factor[j], sum);
      hn::StoreU(sum, df, at);
    }
  }
}

// b = -2 D t / s from the packed metric.
template <int D>
HWY_INLINE void LinearTerm(const float* HWY_RESTRICT metric, const FloatVector (&t)[D], FloatVector inverse_scale,
                           FloatVector (&b)[D]) {
  const FloatTag df;
  for (int j = 0; j < D; ++j) {
    FloatVector sum = hn::Mul(hn::Set(df, -2.0f * metric[j * (j + 1) / 2 + j]), t[j]);
    for (int i = 0; i < D; ++i) {
      if (i == j) continue;
      const int low = i < j ? i : j;
      const int high = i < j ? j : i;
      sum = hn::NegMulAdd(hn::Set(df, metric[high * (high + 1) / 2 + low]), t[i], sum);
    }
    b[j] = hn::Mul(sum, inverse_scale);
  }
}

// One position of the chunk of lanes that begins at first_lane.
template <int D>
HWY_INLINE void SweepPosition(const TileCodebook& codebook, const float* HWY_RESTRICT metric,
                              const float* HWY_RESTRICT scales, const float* HWY_RESTRICT inverse_scales,
                              std::int64_t p, std::int64_t first_lane, const SweepTile& tile,
                              MatrixView<const float> feedback) {
  const FloatTag df;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const auto at = [&](int v, int j) { return (p + j) * kTileRows + first_lane + v * lanes; };
  Components<D> b;
  for (int v = 0; v < kChains; ++v) {
    FloatVector t[D];
    for (int j = 0; j < D; ++j) t[j] = hn::LoadU(df, tile.target + at(v, j));
    LinearTerm<D>(metric, t, hn::LoadU(df, inverse_scales + first_lane + v * lanes), b[v]);
  }
  FloatVector best[kChains];
  IndexVector best_k[kChains];
  Nearest<D>(codebook, first_lane, metric, b, best, best_k);

  std::uint8_t* indices = tile.indices + p / D * kTileRows + first_lane;
  for (int v = 0; v < kChains; ++v) StoreIndices(best_k[v], indices + v * lanes);
  Components<D> q;
  TakeCentroids<D>(codebook, first_lane, indices, q);
  Components<D> error;
  for (int v = 0; v < kChains; ++v) {
    const FloatVector scale = hn::LoadU(df, scales + first_lane + v * lanes);
    FloatVector residual[D];
    for (int j = 0; j < D; ++j) {
      q[v][j] = hn::Mul(scale, q[v][j]);
      residual[j] = hn::Sub(hn::LoadU(df, tile.target + at(v, j)), q[v][j]);
      error[v][j] = hn::Sub(hn::LoadU(df, tile.weights + at(v, j)), q[v][j]);
    }
    for (int j = 0; j < D; ++j) hn::StoreU(error[v][j], df, tile.error + at(v, j));
    AddToSums(QuadraticForm<D>(metric, residual), tile.losses + first_lane + v * lanes);
  }
  FeedBack<D>(feedback, p, error, tile.target + first_lane);
}

template <int D>
void SweepTileOf(const BlockGeometry& geometry, const TileCode& code, MatrixView<const float> feedback,
                 const SweepTile& tile) {
  for (std::int64_t lane = 0; lane < kTileRows; lane += ChunkLanes()) {
    for (std::size_t s = 0; s < geometry.segments.size(); ++s) {
      const StripeSegment& segment = geometry.segments[s];
      for (std::int64_t column = segment.column_begin; column < segment.column_end; column += D) {
        const std::int64_t p = column - geometry.column_begin;
        SweepPosition<D>(code.codebooks()[s], geometry.metric.data() + p / D * (D * (D + 1) / 2), code.scales(column),
                         code.inverse_scales(column), p, lane, tile, feedback);
      }
    }
  }
}

void SweepTileOfAnyDim(const BlockGeometry& geometry, const TileCode& code, MatrixView<const float> feedback,
                       const SweepTile& tile) {
  if (geometry.vector_dim == 1) return SweepTileOf<1>(geometry, code, feedback, tile);
  if (geometry.vector_dim == 2) return SweepTileOf<2>(geometry, code, feedback, tile);
  return SweepTileOf<4>(geometry, code, feedback, tile);
}

}  // namespace HWY_NAMESPACE
}  // namespace gptvq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptvq {

HWY_EXPORT(SweepTileOfAnyDim);

void SweepRowTile(const BlockGeometry& geometry, const TileCode& code, MatrixView<const float> feedback,
                  const SweepTile& tile) {
  HWY_DYNAMIC_DISPATCH(SweepTileOfAnyDim)(geometry, code, feedback, tile);
}

}  // namespace gptvq
#endif  // HWY_ONCE

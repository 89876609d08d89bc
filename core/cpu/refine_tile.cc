// One pass of coordinate descent over one tile. Moving q_P by delta changes the loss by 2 delta . g_P + delta H_PP delta';
// in terms of the new centroid c that is s^2 (c' H_PP c + b . c) + const, b = 2 (g_P - H_PP q_P) / s. The same search as the
// sweep's, then g += delta H[P, :] over the whole block unless no row of the chunk moved.
#include "core/backend/formulas.h"
#include "core/cpu/tile_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/refine_tile.cc"
#include "hwy/foreach_target.h"  // must come before highway.h

#include "core/cpu/nearest_centroid-inl.h"

HWY_BEFORE_NAMESPACE();
namespace gptvq {
namespace HWY_NAMESPACE {

// gradient += delta H[P, :].
template <int D>
HWY_INLINE void AddChange(MatrixView<const float> hessian, std::int64_t p, const Components<D>& delta,
                          float* HWY_RESTRICT gradient) {
  const FloatTag df;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const float* HWY_RESTRICT row = hessian.row(p);
  for (std::int64_t c = 0; c < hessian.cols; ++c) {
    FloatVector factor[D];
    for (int j = 0; j < D; ++j) factor[j] = hn::Set(df, row[j * hessian.stride + c]);
    for (int v = 0; v < kChains; ++v) {
      float* at = gradient + c * kTileRows + v * lanes;
      FloatVector sum = hn::LoadU(df, at);
      for (int j = 0; j < D; ++j) sum = hn::MulAdd(delta[v][j], factor[j], sum);
      hn::StoreU(sum, df, at);
    }
  }
}

// b = 2 (g - A q) / s, A = H_PP packed.
template <int D>
HWY_INLINE void LinearTerm(const float* HWY_RESTRICT metric, const FloatVector (&g)[D], const FloatVector (&q)[D],
                           FloatVector inverse_scale, FloatVector (&b)[D]) {
  const FloatTag df;
  for (int j = 0; j < D; ++j) {
    FloatVector sum = hn::Add(g[j], g[j]);
    for (int i = 0; i < D; ++i) {
      const int low = i < j ? i : j;
      const int high = i < j ? j : i;
      const float packed = metric[high * (high + 1) / 2 + low];
      sum = hn::NegMulAdd(hn::Set(df, i == j ? 2.0f * packed : packed), q[i], sum);
    }
    b[j] = hn::Mul(sum, inverse_scale);
  }
}

// AnnealingNoise of consecutive rows.
HWY_INLINE FloatVector NoiseOfRows(std::uint32_t column_key, std::uint32_t first_row) {
  const FloatTag df;
  const IndexTag di;
  const hn::RebindToUnsigned<FloatTag> du;
  const auto mix = [&](auto x) {
    x = hn::Mul(hn::Xor(x, hn::ShiftRight<16>(x)), hn::Set(du, 0x7feb352du));
    x = hn::Mul(hn::Xor(x, hn::ShiftRight<15>(x)), hn::Set(du, 0x846ca68bu));
    return hn::Xor(x, hn::ShiftRight<16>(x));
  };
  const auto rows = hn::Iota(du, first_row);
  const auto bits = mix(hn::Add(hn::Set(du, column_key), hn::Mul(rows, hn::Set(du, 0x9e3779b9u))));
  const auto byte = hn::Set(du, 0xffu);
  const auto sum = hn::Add(hn::Add(hn::And(bits, byte), hn::And(hn::ShiftRight<8>(bits), byte)),
                           hn::Add(hn::And(hn::ShiftRight<16>(bits), byte), hn::ShiftRight<24>(bits)));
  const FloatVector number = hn::ConvertTo(df, hn::BitCast(di, sum));
  return hn::Mul(hn::Sub(number, hn::Set(df, 510.0f)), hn::Set(df, 1.0f / 147.80054f));
}

template <int D>
HWY_INLINE void RefinePosition(const TileCodebook& codebook, const float* HWY_RESTRICT metric,
                               const float* HWY_RESTRICT scales, const float* HWY_RESTRICT inverse_scales,
                               std::int64_t p, std::int64_t first_lane, const RefineTile& tile,
                               MatrixView<const float> hessian) {
  const FloatTag df;
  const IndexTag di;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const auto at = [&](int v, int j) { return (p + j) * kTileRows + first_lane + v * lanes; };
  std::uint8_t* indices = tile.indices + p / D * kTileRows + first_lane;
  Components<D> present, b, chosen;
  TakeCentroids<D>(codebook, first_lane, indices, present);
  FloatVector present_distance[kChains], best[kChains];
  IndexVector best_k[kChains];
  for (int v = 0; v < kChains; ++v) {
    const FloatVector scale = hn::LoadU(df, scales + first_lane + v * lanes);
    FloatVector g[D], q[D];
    for (int j = 0; j < D; ++j) {
      g[j] = hn::LoadU(df, tile.gradient + at(v, j));
      if (tile.noise_deviations != nullptr) {
        const std::uint32_t column_key = NoiseColumnKey(tile.noise_key, static_cast<std::uint32_t>(p + j));
        const std::uint32_t row = tile.first_row + static_cast<std::uint32_t>(first_lane + v * lanes);
        g[j] = hn::MulAdd(hn::Set(df, tile.noise_deviations[p + j]), NoiseOfRows(column_key, row), g[j]);
      }
      q[j] = hn::Mul(scale, present[v][j]);
    }
    LinearTerm<D>(metric, g, q, hn::LoadU(df, inverse_scales + first_lane + v * lanes), b[v]);
    present_distance[v] = Distance<D>(QuadraticForm<D>(metric, present[v]), b[v], present[v]);
  }
  Nearest<D>(codebook, first_lane, metric, b, best, best_k);

  bool moved = false;
  for (int v = 0; v < kChains; ++v) {
    const auto nearer = hn::Lt(best[v], present_distance[v]);
    moved = moved || !hn::AllFalse(df, nearer);
    const IndexVector old_k = LoadIndices(indices + v * lanes);
    StoreIndices(hn::IfThenElse(hn::RebindMask(di, nearer), best_k[v], old_k), indices + v * lanes);
  }
  if (!moved) {
    for (int v = 0; v < kChains; ++v) {
      for (int j = 0; j < D; ++j) hn::StoreU(hn::Zero(df), df, tile.change + at(v, j));
    }
    return;
  }
  TakeCentroids<D>(codebook, first_lane, indices, chosen);
  for (int v = 0; v < kChains; ++v) {
    const FloatVector scale = hn::LoadU(df, scales + first_lane + v * lanes);
    for (int j = 0; j < D; ++j) {
      chosen[v][j] = hn::Sub(hn::Mul(scale, chosen[v][j]), hn::Mul(scale, present[v][j]));
      hn::StoreU(chosen[v][j], df, tile.change + at(v, j));
    }
  }
  AddChange<D>(hessian, p, chosen, tile.gradient + first_lane);
}

template <int D>
void RefineTileOf(const BlockGeometry& geometry, const TileCode& code, MatrixView<const float> hessian,
                  const RefineTile& tile) {
  for (std::int64_t lane = 0; lane < kTileRows; lane += ChunkLanes()) {
    for (std::size_t s = 0; s < geometry.segments.size(); ++s) {
      const StripeSegment& segment = geometry.segments[s];
      for (std::int64_t column = segment.column_begin; column < segment.column_end; column += D) {
        const std::int64_t p = column - geometry.column_begin;
        RefinePosition<D>(code.codebooks()[s], geometry.metric.data() + p / D * (D * (D + 1) / 2), code.scales(column),
                          code.inverse_scales(column), p, lane, tile, hessian);
      }
    }
  }
}

void RefineTileOfAnyDim(const BlockGeometry& geometry, const TileCode& code, MatrixView<const float> hessian,
                        const RefineTile& tile) {
  if (geometry.vector_dim == 1) return RefineTileOf<1>(geometry, code, hessian, tile);
  if (geometry.vector_dim == 2) return RefineTileOf<2>(geometry, code, hessian, tile);
  return RefineTileOf<4>(geometry, code, hessian, tile);
}

}  // namespace HWY_NAMESPACE
}  // namespace gptvq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptvq {

HWY_EXPORT(RefineTileOfAnyDim);

void RefineRowTile(const BlockGeometry& geometry, const TileCode& code, MatrixView<const float> hessian,
                   const RefineTile& tile) {
  HWY_DYNAMIC_DISPATCH(RefineTileOfAnyDim)(geometry, code, hessian, tile);
}

}  // namespace gptvq
#endif  // HWY_ONCE

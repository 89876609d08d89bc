#include "core/cpu/sgemm_kernels.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/sgemm_kernels.cc"
#include "hwy/foreach_target.h"  // must come before highway.h

#include "core/cpu/transpose-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace gptvq {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, 16>;
using FloatVector = hn::Vec<FloatTag>;

// Accumulators, one broadcast and one row of the right panel fit into 32 registers with AVX-512 and 16 elsewhere.
inline constexpr std::int64_t kPanelRows = hn::MaxLanes(FloatTag()) == 16 ? 12 : 6;
inline constexpr std::int64_t kPanelVectors = 2;

inline std::int64_t PanelCols() { return kPanelVectors * static_cast<std::int64_t>(hn::Lanes(FloatTag())); }

PanelShape MicroPanelShape() { return {kPanelRows, PanelCols()}; }

// Panels of `width` rows of op(m): to[panel][k][i] = op(m)(panel * width + i, k), zero beyond the last row.
void PackPanels(const Operand& from, std::int64_t width, float* HWY_RESTRICT to) {
  const hn::FixedTag<float, 4> quad;
  const MatrixView<const float>& m = from.matrix;
  const std::int64_t rows = from.rows();
  const std::int64_t inner = from.cols();
  const std::int64_t whole_rows = rows / width * width;
  if (whole_rows < rows) std::fill_n(to + whole_rows * inner, inner * width, 0.0f);
  if (from.transpose == Transpose::kNo) {
    for (std::int64_t row = 0; row < rows; row += width) {
      TransposeMatrix(m.row(row), m.stride, std::min(width, rows - row), inner, to + row * inner, width);
    }
    return;
  }
  for (std::int64_t k = 0; k < inner; ++k) {  // along the rows of m, into all panels at once
    const float* HWY_RESTRICT source = m.row(k);
    for (std::int64_t row = 0; row < rows; row += width) {
      const std::int64_t count = std::min(width, rows - row);
      float* HWY_RESTRICT target = to + row * inner + k * width;
      std::int64_t i = 0;
      for (; i + 4 <= count; i += 4) hn::StoreU(hn::LoadU(quad, source + row + i), quad, target + i);
      for (; i < count; ++i) target[i] = source[row + i];
    }
  }
}

void PackLeftPanels(const Operand& left, float* panels_out) { PackPanels(left, kPanelRows, panels_out); }

void PackRightPanels(const Operand& right, float* panels_out) {
  const Transpose turned = right.transpose == Transpose::kNo ? Transpose::kYes : Transpose::kNo;
  PackPanels({right.matrix, turned}, PanelCols(), panels_out);
}

// sums_out = left panel times right panel. Summed up in an array of its own, which the compiler keeps in registers; one
// whose address goes elsewhere it writes to memory in every round.
HWY_INLINE void SumPanels(const float* HWY_RESTRICT left, const float* HWY_RESTRICT right, std::int64_t inner,
                          FloatVector (&sums_out)[kPanelRows][kPanelVectors]) {
  const FloatTag df;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  FloatVector sums[kPanelRows][kPanelVectors];
  for (int i = 0; i < kPanelRows; ++i) {
    for (int v = 0; v < kPanelVectors; ++v) sums[i][v] = hn::Zero(df);
  }
  for (std::int64_t k = 0; k < inner; ++k) {
    FloatVector r[kPanelVectors];
    for (int v = 0; v < kPanelVectors; ++v) r[v] = hn::LoadU(df, right + v * lanes);
    for (int i = 0; i < kPanelRows; ++i) {
      const FloatVector l = hn::Set(df, left[i]);
      for (int v = 0; v < kPanelVectors; ++v) sums[i][v] = hn::MulAdd(l, r[v], sums[i][v]);
    }
    left += kPanelRows;
    right += kPanelVectors * lanes;
  }
  for (int i = 0; i < kPanelRows; ++i) {
    for (int v = 0; v < kPanelVectors; ++v) sums_out[i][v] = sums[i][v];
  }
}

HWY_INLINE FloatVector Combine(const PackedProduct& product, FloatVector sum, const float* HWY_RESTRICT c) {
  const FloatTag df;
  const FloatVector scaled = hn::Mul(hn::Set(df, product.alpha), sum);
  if (product.beta == 0) return scaled;
  return hn::MulAdd(hn::Set(df, product.beta), hn::LoadU(df, c), scaled);
}

// The block of C at (row, col), all of it inside C.
HWY_INLINE void WriteWhole(const PackedProduct& product, const FloatVector (&sums)[kPanelRows][kPanelVectors],
                           std::int64_t row, std::int64_t col, MatrixView<float> c) {
  const FloatTag df;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  for (int i = 0; i < kPanelRows; ++i) {
    for (int v = 0; v < kPanelVectors; ++v) {
      float* at = &c.at(row + i, col + v * lanes);
      hn::StoreU(Combine(product, sums[i][v], at), df, at);
    }
  }
}

// The part of the block that lies inside C and its region.
void WritePart(const PackedProduct& product, const FloatVector (&sums)[kPanelRows][kPanelVectors], std::int64_t row,
               std::int64_t col, MatrixView<float> c) {
  const FloatTag df;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(df));
  HWY_ALIGN float values[kPanelVectors * 16] = {};
  const std::int64_t rows = std::min(kPanelRows, c.rows - row);
  const std::int64_t cols = std::min(PanelCols(), c.cols - col);
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t diagonal = product.region == Region::kAll ? 0 : row + i - col - product.diagonal;
    const std::int64_t first = std::clamp<std::int64_t>(diagonal, 0, cols);
    float* at = c.row(row + i) + col;
    std::copy(at + first, at + cols, values + first);
    for (int v = 0; v < kPanelVectors; ++v) {
      hn::Store(Combine(product, sums[i][v], values + v * lanes), df, values + v * lanes);
    }
    std::copy(values + first, values + cols, at + first);
  }
}

void MultiplyPackedPanels(const PackedProduct& product, MatrixView<float> c) {
  for (std::int64_t col = 0; col < c.cols; col += PanelCols()) {
    for (std::int64_t row = 0; row < c.rows; row += kPanelRows) {
      const std::int64_t below =
          row - col - product.diagonal;  // rows the block's first element lies below the diagonal
      const bool upper = product.region == Region::kUpper;
      if (upper && below >= PanelCols()) break;
      FloatVector sums[kPanelRows][kPanelVectors];
      SumPanels(product.left + row * product.inner, product.right + col * product.inner, product.inner, sums);
      const bool inside = row + kPanelRows <= c.rows && col + PanelCols() <= c.cols;
      if (inside && !(upper && below + kPanelRows > 1)) {
        WriteWhole(product, sums, row, col, c);
      } else {
        WritePart(product, sums, row, col, c);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace gptvq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptvq {

HWY_EXPORT(MicroPanelShape);
HWY_EXPORT(PackLeftPanels);
HWY_EXPORT(PackRightPanels);
HWY_EXPORT(MultiplyPackedPanels);

PanelShape MicroPanel() { return HWY_DYNAMIC_DISPATCH(MicroPanelShape)(); }

void PackLeft(const Operand& left, float* panels_out) { HWY_DYNAMIC_DISPATCH(PackLeftPanels)(left, panels_out); }

void PackRight(const Operand& right, float* panels_out) { HWY_DYNAMIC_DISPATCH(PackRightPanels)(right, panels_out); }

void MultiplyPacked(const PackedProduct& product, MatrixView<float> c) {
  HWY_DYNAMIC_DISPATCH(MultiplyPackedPanels)(product, c);
}

}  // namespace gptvq
#endif  // HWY_ONCE

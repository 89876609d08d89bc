#include "core/cpu/row_kernels.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/row_kernels.cc"
#include "hwy/foreach_target.h"  // must come before highway.h

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace gptvq {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, 16>;
using FloatVector = hn::Vec<FloatTag>;

const char* TargetName() { return hwy::TargetName(HWY_TARGET); }

inline std::int64_t LaneCount() { return static_cast<std::int64_t>(hn::Lanes(FloatTag())); }

// The last elements of a row, fewer than a vector; the other lanes hold `other`.
HWY_INLINE FloatVector LoadPart(const float* x, std::int64_t count, float other) {
  HWY_ALIGN float lanes[16];
  std::fill_n(lanes, LaneCount(), other);
  std::copy_n(x, count, lanes);
  return hn::Load(FloatTag(), lanes);
}

HWY_INLINE void StorePart(FloatVector v, std::int64_t count, float* to) {
  HWY_ALIGN float lanes[16];
  hn::Store(v, FloatTag(), lanes);
  std::copy_n(lanes, count, to);
}

// result = fold(result, vector) over a row, `other` filling the last vector.
template <typename Fold>
HWY_INLINE FloatVector FoldRow(const float* x, std::int64_t count, float other, FloatVector result, Fold fold) {
  std::int64_t i = 0;
  for (; i + LaneCount() <= count; i += LaneCount()) result = fold(result, hn::LoadU(FloatTag(), x + i));
  return i < count ? fold(result, LoadPart(x + i, count - i, other)) : result;
}

float MaxOf(const float* x, std::int64_t count) {
  const FloatTag df;
  const float lowest = -std::numeric_limits<float>::infinity();
  const auto fold = [](FloatVector a, FloatVector b) HWY_ATTR { return hn::Max(a, b); };
  return hn::GetLane(hn::MaxOfLanes(df, FoldRow(x, count, lowest, hn::Set(df, lowest), fold)));
}

float AbsMaxOf(const float* x, std::int64_t count) {
  const FloatTag df;
  const auto fold = [](FloatVector a, FloatVector b) HWY_ATTR { return hn::Max(a, hn::Abs(b)); };
  return hn::GetLane(hn::MaxOfLanes(df, FoldRow(x, count, 0.0f, hn::Zero(df), fold)));
}

bool IsFiniteRow(const float* x, std::int64_t count) {
  const FloatTag df;
  // x - x is 0 for finite x and NaN for the rest, and a NaN stays in a sum.
  const auto fold = [](FloatVector a, FloatVector b) HWY_ATTR { return hn::Add(a, hn::Sub(b, b)); };
  return hn::GetLane(hn::SumOfLanes(df, FoldRow(x, count, 0.0f, hn::Zero(df), fold))) == 0.0f;
}

double DotOf(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, std::int64_t count) {
  const hn::CappedTag<double, 8> dd;
  const hn::Rebind<float, decltype(dd)> half;
  const std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(dd));
  auto even = hn::Zero(dd);
  auto odd = hn::Zero(dd);
  const auto add = [&](std::int64_t i, auto sum) HWY_ATTR {
    return hn::MulAdd(hn::PromoteTo(dd, hn::LoadU(half, a + i)), hn::PromoteTo(dd, hn::LoadU(half, b + i)), sum);
  };
  std::int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    even = add(i, even);
    odd = add(i + lanes, odd);
  }
  double sum = hn::GetLane(hn::SumOfLanes(dd, hn::Add(even, odd)));
  for (; i < count; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

float ExpOf(float* HWY_RESTRICT x, std::int64_t count, float max) {
  const FloatTag df;
  const FloatVector shift = hn::Set(df, max);
  FloatVector sum = hn::Zero(df);
  std::int64_t i = 0;
  for (; i + LaneCount() <= count; i += LaneCount()) {
    const FloatVector e = hn::Exp(df, hn::Sub(hn::LoadU(df, x + i), shift));
    hn::StoreU(e, df, x + i);
    sum = hn::Add(sum, e);
  }
  if (i < count) {  // what lies far below the maximum counts nothing
    const FloatVector e = hn::Exp(df, hn::Sub(LoadPart(x + i, count - i, max - 1000.0f), shift));
    StorePart(e, count - i, x + i);
    sum = hn::Add(sum, e);
  }
  return hn::GetLane(hn::SumOfLanes(df, sum));
}

void NormalizeOf(const float* x, const float* weight, float factor, std::int64_t count, float* y_out) {
  const FloatTag df;
  const FloatVector factors = hn::Set(df, factor);
  std::int64_t i = 0;
  for (; i + LaneCount() <= count; i += LaneCount()) {
    const FloatVector scaled = hn::Mul(hn::LoadU(df, x + i), factors);
    hn::StoreU(hn::Mul(scaled, hn::LoadU(df, weight + i)), df, y_out + i);
  }
  for (; i < count; ++i) y_out[i] = x[i] * factor * weight[i];
}

HWY_INLINE FloatVector SwiGlu(FloatVector gate, FloatVector up) {
  const FloatTag df;
  // exp(88) is the last that f32 holds; silu of anything below -88 is 0 to f32.
  const FloatVector e = hn::Exp(df, hn::Min(hn::Neg(gate), hn::Set(df, 88.0f)));
  return hn::Mul(hn::Div(gate, hn::Add(hn::Set(df, 1.0f), e)), up);
}

void SwiGluOf(const float* gate, const float* up, std::int64_t count, float* out) {
  const FloatTag df;
  std::int64_t i = 0;
  for (; i + LaneCount() <= count; i += LaneCount()) {
    hn::StoreU(SwiGlu(hn::LoadU(df, gate + i), hn::LoadU(df, up + i)), df, out + i);
  }
  if (i < count) {
    const std::int64_t rest = count - i;
    StorePart(SwiGlu(LoadPart(gate + i, rest, 0.0f), LoadPart(up + i, rest, 0.0f)), rest, out + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace gptvq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptvq {

HWY_EXPORT(TargetName);
HWY_EXPORT(MaxOf);
HWY_EXPORT(AbsMaxOf);
HWY_EXPORT(IsFiniteRow);
HWY_EXPORT(DotOf);
HWY_EXPORT(ExpOf);
HWY_EXPORT(NormalizeOf);
HWY_EXPORT(SwiGluOf);

std::string InstructionSet() { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

float RowMax(const float* x, std::int64_t count) { return HWY_DYNAMIC_DISPATCH(MaxOf)(x, count); }

float RowAbsMax(const float* x, std::int64_t count) { return HWY_DYNAMIC_DISPATCH(AbsMaxOf)(x, count); }

bool RowIsFinite(const float* x, std::int64_t count) { return HWY_DYNAMIC_DISPATCH(IsFiniteRow)(x, count); }

double RowDot(const float* a, const float* b, std::int64_t count) { return HWY_DYNAMIC_DISPATCH(DotOf)(a, b, count); }

float ExpRow(float* x, std::int64_t count, float max) { return HWY_DYNAMIC_DISPATCH(ExpOf)(x, count, max); }

void NormalizeRow(const float* x, const float* weight, float factor, std::int64_t count, float* y_out) {
  HWY_DYNAMIC_DISPATCH(NormalizeOf)(x, weight, factor, count, y_out);
}

void SwiGluRow(const float* gate, const float* up, std::int64_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(SwiGluOf)(gate, up, count, out);
}

}  // namespace gptvq
#endif  // HWY_ONCE

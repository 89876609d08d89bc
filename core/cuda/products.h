#ifndef GPTVQ_CORE_CUDA_PRODUCTS_H_
#define GPTVQ_CORE_CUDA_PRODUCTS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "core/backend/quant_ops.h"
#include "core/cuda/device_context.h"
#include "core/cuda/device_view.h"

// Matrix products by cuBLAS for row-major matrices. Asynchronous. Deterministic: one stream, no atomics,
// partial sums in f32; cuBLAS chooses its algorithm from shapes, strides and the device alone. Empty products
// are handled here.
namespace gptvq::cuda {

// c = alpha op(a) op(b) + beta c. beta 0 ignores what c held. Small products run in f32 throughout. Large ones, by their
// shape alone, run on the tensor cores: every factor split into two TF32 numbers, three products of those as one with an
// inner axis of three times the length, so that c is read and written once; partial sums in f32. A product of two
// numbers is then right to 3 * 2^-22 of itself, 12 roundings of f32; an infinity in a factor may become NaN. Tensor cores
// cut partial sums off and do not round them, which the order of the three products and short pieces of the inner axis bound.
// With `row_unit` > 0 every product is cut into pieces of so many rows, which cuBLAS then sees one by one: the bytes of a row
// do not depend on how many pieces there are beside its own, nor does the choice between f32 and TF32.
struct FloatProduct {
  float alpha = 1;
  DeviceView<const float> a;
  Transpose transpose_a = Transpose::kNo;
  DeviceView<const float> b;
  Transpose transpose_b = Transpose::kNo;
  float beta = 0;
  DeviceView<float> c;
  std::int64_t row_unit = 0;
};
absl::Status Multiply(DeviceContext& context, const FloatProduct& product);

// c = a b + beta c with both factors rounded to bfloat16, on the tensor cores: a sixth of the time of the above. Rounded
// by pieces of the inner axis, which need less memory than the split ones. beta and row_unit as above.
struct CoarseProduct {
  DeviceView<const float> a;
  DeviceView<const float> b;
  float beta = 0;
  DeviceView<float> c;
  std::int64_t row_unit = 0;
};
absl::Status MultiplyCoarsely(DeviceContext& context, const CoarseProduct& product);

// op(a) op(b) of bfloat16 matrices on the tensor cores, f32 accumulation: into f32, c = product + beta c, or
// rounded once to bfloat16.
struct Bf16Product {
  ConstBf16View a;
  Transpose transpose_a = Transpose::kNo;
  ConstBf16View b;
  Transpose transpose_b = Transpose::kNo;
};
absl::Status MultiplyToFloat(DeviceContext& context, const Bf16Product& product, float beta, DeviceView<float> c);
absl::Status MultiplyToBf16(DeviceContext& context, const Bf16Product& product, Bf16View c_out);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_PRODUCTS_H_

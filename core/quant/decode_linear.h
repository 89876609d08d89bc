#ifndef GPTVQ_CORE_QUANT_DECODE_LINEAR_H_
#define GPTVQ_CORE_QUANT_DECODE_LINEAR_H_

#include "absl/status/status.h"
#include "core/backend/backend.h"
#include "core/backend/tensor_view.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// Writes the weights that `linear` stands for, [R, C], to backend memory: the numbers of Dequantize, rounded if weight_out is
// not f32. Vectors are decoded by the backend from their packed indices, so that it does not wait for the host to write
// four bytes per weight; scratch there: the indices, packed and unpacked, and, unless weight_out is f32, the weights in f32.
// Errors: InvalidArgument for another shape; those of the backend.
absl::Status DecodeLinear(Backend& backend, const QuantizedLinear& linear, TensorView weight_out);

// The same where the linear's assignments, [R, C / d], lie in backend memory already.
absl::Status DecodeLinear(Backend& backend, const VectorQuantizedLinear& linear, ConstAssignments assignments,
                          TensorView weight_out);

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_DECODE_LINEAR_H_

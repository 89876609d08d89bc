#ifndef GPTVQ_CORE_CUDA_HESSIAN_KERNELS_H_
#define GPTVQ_CORE_CUDA_HESSIAN_KERNELS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "absl/status/status.h"
#include "core/cuda/device_view.h"
#include "core/cuda/launch_plan.h"

// What surrounds the products of the Hessian and its factor. Asynchronous on `stream`.
namespace gptvq::cuda {

// row_is_bad_out[r] = 1 when row r of x has a NaN or an infinity, else 0, and adds their number to
// *bad_count_out. PlanWarpRows.
absl::Status LaunchFindBadRows(const RowsPlan& plan, ConstBf16View x, std::uint8_t* row_is_bad_out,
                               unsigned long long* bad_count_out, cudaStream_t stream);

// copy_out = x with bad rows replaced by zeros.
absl::Status LaunchCopyGoodRows(const RowsPlan& plan, ConstBf16View x, const std::uint8_t* row_is_bad,
                                Bf16View copy_out, cudaStream_t stream);

// h(r, c) += square(r, c) for r <= c.
absl::Status LaunchAddUpperTriangle(const RowsPlan& plan, DeviceView<const float> square, DeviceView<float> h,
                                    cudaStream_t stream);

// factor_out [n, n] f64: factor(n - 1 - r, n - 1 - c) = h(r, c) for c >= r: the lower triangle of the reversed
// matrix.
absl::Status LaunchReverse(const RowsPlan& plan, DeviceView<const float> h, DeviceView<double> factor_out,
                           cudaStream_t stream);

// The way back: h = V, zeros below the diagonal. *bad_pivot_count_out grows by the diagonal elements that are
// not positive and finite.
absl::Status LaunchReverseBack(const RowsPlan& plan, DeviceView<const double> factor, DeviceView<float> h_out,
                               unsigned long long* bad_pivot_count_out, cudaStream_t stream);

// m_out = V blockdiag(V_PP)^-1. Errors: InvalidArgument unless the dimension is 1, 2 or 4.
absl::Status LaunchNormalizeBlockColumns(const RowsPlan& plan, DeviceView<const float> v, int vector_dim,
                                         DeviceView<float> m_out, cudaStream_t stream);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_HESSIAN_KERNELS_H_

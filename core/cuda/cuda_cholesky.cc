// The reversed Cholesky factorisation: with J the reversal of the order, J h J = L L^T gives h = V V^T, V = J L
// J. On a copy in f64 by cuSOLVER's 64-bit interface: orders above 46340 overflow the other one.
#include <memory>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/quant_checks.h"
#include "core/cuda/cuda_quant_ops.h"
#include "core/cuda/hessian_kernels.h"

namespace gptvq::cuda {
namespace {

struct ParamsDeleter {
  decltype(&cusolverDnDestroyParams) destroy;
  void operator()(cusolverDnParams_t params) const { (void)destroy(params); }
};
using Params = std::unique_ptr<std::remove_pointer_t<cusolverDnParams_t>, ParamsDeleter>;

// In place; returns whether cuSOLVER found the matrix positive definite. The row-major lower triangle is cuSOLVER's
// column-major upper one.
absl::StatusOr<bool> FactorLower(DeviceContext& context, double* matrix, std::int64_t order) {
  GPTVQ_ASSIGN_OR_RETURN(cusolverDnHandle_t cusolver, context.Cusolver());
  const CudaLibraries& libraries = context.libraries();
  cusolverDnParams_t made = nullptr;
  GPTVQ_RETURN_IF_ERROR(CusolverStatus(libraries.cusolver_create_params(&made), "cusolverDnCreateParams"));
  const Params params(made, {libraries.cusolver_destroy_params});
  constexpr cublasFillMode_t kTriangle = CUBLAS_FILL_MODE_UPPER;
  std::size_t device_bytes = 0, host_bytes = 0;
  GPTVQ_RETURN_IF_ERROR(
      CusolverStatus(libraries.cusolver_potrf_buffer_size(cusolver, params.get(), kTriangle, order, CUDA_R_64F, matrix,
                                                          order, CUDA_R_64F, &device_bytes, &host_bytes),
                     "cusolverDnXpotrf_bufferSize"));
  GPTVQ_ASSIGN_OR_RETURN(const auto workspace,
                         DeviceBuffer<std::uint8_t>::Make(context, static_cast<std::int64_t>(device_bytes)));
  std::vector<std::uint8_t> host_workspace(host_bytes);
  GPTVQ_ASSIGN_OR_RETURN(const auto info, DeviceBuffer<int>::Make(context, 1));
  GPTVQ_RETURN_IF_ERROR(CusolverStatus(
      libraries.cusolver_potrf(cusolver, params.get(), kTriangle, order, CUDA_R_64F, matrix, order, CUDA_R_64F,
                               workspace.data(), device_bytes, host_workspace.data(), host_bytes, info.data()),
      "cusolverDnXpotrf"));
  int first_bad_minor = 0;
  GPTVQ_RETURN_IF_ERROR(info.ToHostSync(absl::MakeSpan(&first_bad_minor, 1)));
  return first_bad_minor == 0;
}

}  // namespace

absl::Status CudaQuantOps::ReversedCholesky(MatrixView<float> h) {
  GPTVQ_RETURN_IF_ERROR(CheckSquare("ReversedCholesky", h));
  const std::int64_t order = h.rows;
  if (order == 0) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  GPTVQ_ASSIGN_OR_RETURN(const auto copy, DeviceBuffer<double>::Make(context_, order * order));
  GPTVQ_ASSIGN_OR_RETURN(const auto bad_count, DeviceBuffer<unsigned long long>::Make(context_, 1));
  GPTVQ_RETURN_IF_ERROR(context_.Zero(bad_count.data(), bad_count.bytes()));
  const RowsPlan plan = PlanRows(order, order, context_.limits());
  GPTVQ_RETURN_IF_ERROR(LaunchReverse(plan, ReadOnly(h), {copy.data(), order, order, order}, context_.stream()));
  GPTVQ_ASSIGN_OR_RETURN(bool positive, FactorLower(context_, copy.data(), order));
  GPTVQ_RETURN_IF_ERROR(
      LaunchReverseBack(plan, {copy.data(), order, order, order}, OnDevice(h), bad_count.data(), context_.stream()));
  unsigned long long bad_pivots = 0;  // NaN and infinity pass through a factorisation unnoticed
  GPTVQ_RETURN_IF_ERROR(bad_count.ToHostSync(absl::MakeSpan(&bad_pivots, 1)));
  if (positive && bad_pivots == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("ReversedCholesky: the matrix of order ", order, " is not positive definite"));
}

absl::Status CudaQuantOps::NormalizeBlockColumns(MatrixView<const float> v, int vector_dim, MatrixView<float> m_out) {
  GPTVQ_RETURN_IF_ERROR(CheckNormalizeBlockColumns(v, vector_dim, m_out));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return LaunchNormalizeBlockColumns(PlanRows(v.rows, v.cols / vector_dim, context_.limits()), ReadOnly(v), vector_dim,
                                     OnDevice(m_out), context_.stream());
}

}  // namespace gptvq::cuda

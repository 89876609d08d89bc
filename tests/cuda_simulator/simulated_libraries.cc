// cuBLAS and cuSOLVER as loops: column-major, with their rules about leading dimensions.
#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "core/base/dtype.h"
#include "core/cuda/cuda_libraries.h"
#include "cublas_v2.h"
#include "cusolverDn.h"
#include "tensor_core_sum.h"
#include "tests/cuda_simulator/stream_work.h"

namespace {

constexpr std::size_t kWorkspaceBytes = 64;

// What a handle is here: its stream.
struct Handle {
  cudaStream_t stream = nullptr;
};
cudaStream_t StreamOf(void* handle) { return static_cast<Handle*>(handle)->stream; }

// Element (row, col) of a matrix, stored as its transpose or not.
double ElementOf(const void* matrix, cudaDataType type, std::int64_t ld, cublasOperation_t transpose, std::int64_t row,
                 std::int64_t col) {
  const std::int64_t at = transpose == CUBLAS_OP_N ? col * ld + row : row * ld + col;
  if (type == CUDA_R_16BF) return gptvq::Bf16ToFloat(static_cast<const std::uint16_t*>(matrix)[at]);
  return static_cast<const float*>(matrix)[at];
}

// What a tensor core sees of an f32 number.
double TruncatedToTf32(double value) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(static_cast<float>(value)) & 0xffffe000u);
}

std::vector<double> OperandOf(const void* matrix, cudaDataType type, std::int64_t ld, cublasOperation_t transpose,
                              std::int64_t rows, std::int64_t cols, cublasComputeType_t compute) {
  std::vector<double> elements;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      const double element = ElementOf(matrix, type, ld, transpose, r, c);
      elements.push_back(compute == CUBLAS_COMPUTE_32F_FAST_TF32 ? TruncatedToTf32(element) : element);
    }
  }
  return elements;
}

// Products that are added at a time where tensor cores add them; 0 where f32 units do, in an order that is not known.
std::int64_t ProductsAtATime(cudaDataType type, cublasComputeType_t compute) {
  if (type == CUDA_R_16BF) return gptvq::simt::kBf16ProductsAtATime;
  return compute == CUBLAS_COMPUTE_32F_FAST_TF32 ? gptvq::simt::kTf32ProductsAtATime : 0;
}

// a = u^T u, u in the upper triangle; the lower one is neither read nor written. A NaN is no reason to stop. Returns 0, or the
// number of the column whose pivot is not positive.
int Factorise(double* a, std::int64_t n, std::int64_t lda) {
  const auto at = [&](std::int64_t row, std::int64_t col) -> double& { return a[col * lda + row]; };
  for (std::int64_t col = 0; col < n; ++col) {
    for (std::int64_t row = 0; row <= col; ++row) {
      double rest = at(row, col);
      for (std::int64_t i = 0; i < row; ++i) rest -= at(i, row) * at(i, col);
      if (row == col && rest <= 0) return static_cast<int>(col + 1);
      at(row, col) = row == col ? std::sqrt(rest) : rest / at(row, row);
    }
  }
  return 0;
}

}  // namespace

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = new Handle();
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete static_cast<Handle*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  static_cast<Handle*>(handle)->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t, cublasAtomicsMode_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasGemmEx_64(cublasHandle_t handle, cublasOperation_t transpose_a, cublasOperation_t transpose_b,
                               std::int64_t m, std::int64_t n, std::int64_t k, const void* alpha, const void* a,
                               cudaDataType a_type, std::int64_t lda, const void* b, cudaDataType b_type,
                               std::int64_t ldb, const void* beta, void* c, cudaDataType c_type, std::int64_t ldc,
                               cublasComputeType_t compute, cublasGemmAlgo_t) {
  if (m <= 0 || n <= 0 || k <= 0 || lda < (transpose_a == CUBLAS_OP_N ? m : k) ||
      ldb < (transpose_b == CUBLAS_OP_N ? k : n) || ldc < m) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const float scale = *static_cast<const float*>(alpha), kept = *static_cast<const float*>(beta);
  gptvq::simt::QueueWork(StreamOf(handle), [=] {
    const std::int64_t at_a_time = ProductsAtATime(a_type, compute);
    const std::vector<double> left = OperandOf(a, a_type, lda, transpose_a, m, k, compute);
    const std::vector<double> right = OperandOf(b, b_type, ldb, transpose_b, k, n, compute);
    for (std::int64_t row = 0; row < m; ++row) {
      for (std::int64_t col = 0; col < n; ++col) {
        double sum = 0;
        for (std::int64_t i = 0; i < k; ++i) {
          sum += left[row * k + i] * right[i * n + col];
          if (at_a_time > 0 && (i + 1) % at_a_time == 0) sum = gptvq::simt::CutOff(sum);
        }
        const std::int64_t at = col * ldc + row;
        if (c_type == CUDA_R_16BF) {
          static_cast<std::uint16_t*>(c)[at] = gptvq::FloatToBf16(static_cast<float>(scale * sum));
        } else {
          float& to = static_cast<float*>(c)[at];
          to = static_cast<float>(kept == 0 ? scale * sum : scale * sum + static_cast<double>(kept) * to);
        }
      }
    }
  });
  return CUBLAS_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle) {
  *handle = new Handle();
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle) {
  delete static_cast<Handle*>(handle);
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream) {
  static_cast<Handle*>(handle)->stream = stream;
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnSetDeterministicMode(cusolverDnHandle_t, cusolverDeterministicMode_t) {
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t* params) {
  *params = nullptr;
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t) { return CUSOLVER_STATUS_SUCCESS; }

cusolverStatus_t cusolverDnXpotrf_bufferSize(cusolverDnHandle_t, cusolverDnParams_t, cublasFillMode_t, std::int64_t,
                                             cudaDataType, const void*, std::int64_t, cudaDataType,
                                             std::size_t* device_bytes, std::size_t* host_bytes) {
  *device_bytes = *host_bytes = kWorkspaceBytes;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXpotrf(cusolverDnHandle_t handle, cusolverDnParams_t, cublasFillMode_t triangle,
                                  std::int64_t n, cudaDataType a_type, void* a, std::int64_t lda, cudaDataType, void*,
                                  std::size_t device_bytes, void*, std::size_t host_bytes, int* info) {
  if (triangle != CUBLAS_FILL_MODE_UPPER || a_type != CUDA_R_64F || lda < n || device_bytes < kWorkspaceBytes ||
      host_bytes < kWorkspaceBytes) {
    return CUSOLVER_STATUS_INVALID_VALUE;
  }
  gptvq::simt::QueueWork(StreamOf(handle), [=] { *info = Factorise(static_cast<double*>(a), n, lda); });
  return CUSOLVER_STATUS_SUCCESS;
}

absl::StatusOr<gptvq::cuda::CudaLibraries> gptvq::cuda::LoadCudaLibraries() {
  return CudaLibraries{.cublas_create = cublasCreate,
                       .cublas_destroy = cublasDestroy,
                       .cublas_set_stream = cublasSetStream,
                       .cublas_set_math_mode = cublasSetMathMode,
                       .cublas_set_atomics_mode = cublasSetAtomicsMode,
                       .cublas_gemm = cublasGemmEx_64,
                       .cusolver_create = cusolverDnCreate,
                       .cusolver_destroy = cusolverDnDestroy,
                       .cusolver_set_stream = cusolverDnSetStream,
                       .cusolver_set_deterministic_mode = cusolverDnSetDeterministicMode,
                       .cusolver_create_params = cusolverDnCreateParams,
                       .cusolver_destroy_params = cusolverDnDestroyParams,
                       .cusolver_potrf_buffer_size = cusolverDnXpotrf_bufferSize,
                       .cusolver_potrf = cusolverDnXpotrf,
                       .cublas_version = "0.0.0",
                       .cusolver_version = "0.0.0"};
}

#include "core/cuda/cuda_libraries.h"

#include "gtest/gtest.h"

namespace gptvq::cuda {
namespace {

// Where CUDA can be built its libraries are, and they load without a device.
TEST(CudaLibraries, OfTheToolkitHaveEveryFunctionThatIsUsed) {
  const absl::StatusOr<CudaLibraries> libraries = LoadCudaLibraries();

  ASSERT_TRUE(libraries.ok()) << libraries.status();
  EXPECT_NE(libraries->cublas_gemm, nullptr);
  EXPECT_NE(libraries->cusolver_potrf, nullptr);
}

}  // namespace
}  // namespace gptvq::cuda

#include "core/cuda/cuda_libraries.h"

#include "absl/strings/str_cat.h"
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

TEST(CudaLibraries, AreOfTheVersionThatWasLoaded) {
  const absl::StatusOr<CudaLibraries> libraries = LoadCudaLibraries();

  ASSERT_TRUE(libraries.ok()) << libraries.status();
  // Here it is that of the headers.
  EXPECT_EQ(libraries->cublas_version, absl::StrCat(CUBLAS_VER_MAJOR, ".", CUBLAS_VER_MINOR, ".", CUBLAS_VER_PATCH));
  EXPECT_EQ(libraries->cusolver_version,
            absl::StrCat(CUSOLVER_VER_MAJOR, ".", CUSOLVER_VER_MINOR, ".", CUSOLVER_VER_PATCH));
}

}  // namespace
}  // namespace gptvq::cuda

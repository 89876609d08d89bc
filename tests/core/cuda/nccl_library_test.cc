#include "core/cuda/nccl_library.h"

#include "gtest/gtest.h"

namespace gptvq::cuda {
namespace {

// NCCL, too, loads without a device.
TEST(NcclLibrary, OfThisMachineHasEveryFunctionThatIsUsed) {
  const absl::StatusOr<NcclLibrary> nccl = LoadNcclLibrary();

  ASSERT_TRUE(nccl.ok()) << nccl.status();
  int version = 0;
  EXPECT_EQ(nccl->get_version(&version), ncclSuccess);
  EXPECT_GE(version, 21800) << "older than CUDA 12";
  EXPECT_NE(nccl->broadcast, nullptr);
}

}  // namespace
}  // namespace gptvq::cuda

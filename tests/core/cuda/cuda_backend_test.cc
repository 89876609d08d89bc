#include "core/cuda/cuda_backend.h"

#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(CudaBackend, ListsDevicesOrSaysInOneLineWhatIsMissing) {
  const auto devices = CudaDevices();

  if (devices.ok()) {
    for (const CudaDevice& device : *devices) EXPECT_FALSE(device.name.empty());
    return;
  }
  EXPECT_EQ(devices.status().code(), absl::StatusCode::kFailedPrecondition) << devices.status();
  EXPECT_EQ(devices.status().message().find('\n'), absl::string_view::npos);
  EXPECT_NE(devices.status().message().find("CPU"), absl::string_view::npos) << devices.status();
}

TEST(CudaBackend, RefusesADeviceThatIsNotThere) {
  const auto backend = MakeCudaBackend({.device = 4096});

  EXPECT_EQ(backend.status().code(), absl::StatusCode::kFailedPrecondition) << backend.status();
}

}  // namespace
}  // namespace gptvq

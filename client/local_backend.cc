#include "client/local_backend.h"

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "worker/device_slots.h"

namespace gptvq {

absl::StatusOr<std::unique_ptr<Backend>> MakeLocalBackend(const DeviceChoice& device, int threads) {
  if (device.cuda_devices.size() > 1) {
    return absl::InvalidArgumentError("--device names several GPUs; this command computes on one");
  }
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  GPTVQ_ASSIGN_OR_RETURN(
      std::vector<PlacedTeam> slots,
      MakeDeviceSlots({.device = device, .cpu_slot_count = 1, .threads_per_cpu_slot = threads > 0 ? threads : cores}));
  return std::move(slots.front().backends.front());
}

}  // namespace gptvq

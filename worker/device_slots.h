#ifndef GPTVQ_WORKER_DEVICE_SLOTS_H_
#define GPTVQ_WORKER_DEVICE_SLOTS_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/cuda/cuda_backend.h"
#include "platform/device_choice.h"
#include "worker/coordinator_link.h"

namespace gptvq {

struct DeviceSlotsOptions {
  DeviceChoice device;
  int cpu_slot_count = 1;
  int threads_per_cpu_slot = 1;
};

// A backend and what the coordinator lists of it.
struct PlacedBackend {
  DeviceSlot slot;
  std::unique_ptr<Backend> backend;
  // How much of the device's memory is in use, by everybody; thread-safe. Empty where the device does not say, as the CPU:
  // the process' own memory is a metric anyway.
  std::function<double()> read_used_bytes = nullptr;
};

// The backends of this machine, one per slot and all of one numerics class: the chosen GPUs, one slot each, or the CPU, its
// threads shared out evenly over its slots. Asks the CUDA driver for devices unless the choice is the CPU.
// Errors: those of ChooseCudaDevices and of MakeCudaBackend.
absl::StatusOr<std::vector<PlacedBackend>> MakeDeviceSlots(const DeviceSlotsOptions& options);

// The devices that a choice means, in its order, where `present` is what CudaDevices() says; none: the CPU. Pure.
// Errors: FailedPrecondition when GPUs were asked for and there are none, when one that was asked for is not there, and when
// they differ in name: then their results differ too, and a worker has one numerics class.
absl::StatusOr<std::vector<CudaDevice>> ChooseCudaDevices(const DeviceChoice& choice,
                                                          const absl::StatusOr<std::vector<CudaDevice>>& present);

}  // namespace gptvq

#endif  // GPTVQ_WORKER_DEVICE_SLOTS_H_

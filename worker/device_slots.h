#ifndef GPTVQ_WORKER_DEVICE_SLOTS_H_
#define GPTVQ_WORKER_DEVICE_SLOTS_H_

#include <memory>
#include <vector>

#include "core/backend/backend.h"
#include "worker/coordinator_link.h"

namespace gptvq {

struct DeviceSlotsOptions {
  int slot_count = 1;
  int threads_per_slot = 1;
};

// A backend and what the coordinator lists of it.
struct PlacedBackend {
  DeviceSlot slot;
  std::unique_ptr<Backend> backend;
};

// The backends of this machine, one per slot: the CPU, its threads shared out evenly. All of one numerics class.
std::vector<PlacedBackend> MakeDeviceSlots(const DeviceSlotsOptions& options);

}  // namespace gptvq

#endif  // GPTVQ_WORKER_DEVICE_SLOTS_H_

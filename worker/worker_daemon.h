#ifndef GPTVQ_WORKER_WORKER_DAEMON_H_
#define GPTVQ_WORKER_WORKER_DAEMON_H_

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/device_slots.h"

namespace gptvq {

// Makes the slots of this machine: MakeDeviceSlots, or what a test has in its place.
using SlotMaker = std::function<absl::StatusOr<std::vector<PlacedTeam>>(const DeviceSlotsOptions&)>;

// The whole of gptvq-worker, with its flags and its exit codes (docs/configure.md): tests the devices, registers, works until it
// is told to stop. A slot that fails its test is out and the others work; when all do, the process ends.
int RunWorker(int argc, char** argv, const SlotMaker& make_slots);

}  // namespace gptvq

#endif  // GPTVQ_WORKER_WORKER_DAEMON_H_

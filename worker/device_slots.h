#ifndef GPTVQ_WORKER_DEVICE_SLOTS_H_
#define GPTVQ_WORKER_DEVICE_SLOTS_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/interconnect.h"
#include "core/backend/team.h"
#include "core/cuda/cuda_backend.h"
#include "platform/device_choice.h"
#include "worker/coordinator_link.h"
#include "worker/device_reading.h"

namespace gptvq {

// q, k and v; no input has more.
inline constexpr int kMostLinearsAtOnce = 3;

struct DeviceSlotsOptions {
  DeviceChoice device;
  int cpu_slot_count = 1;
  int threads_per_cpu_slot = 1;
  // 0: every GPU is a slot by itself. N: so many GPUs work together on a task (docs/adr/0010), 1 among them: its results are
  // those of larger teams, not those of a GPU by itself.
  int team_size = 0;
  // How many linears of one input a GPU by itself quantizes side by side (docs/adr/0018), 1 to kMostLinearsAtOnce.
  int linears_at_once = kMostLinearsAtOnce;
};

// What computes in a slot, and what the coordinator lists of it. The interconnect goes before the backends that it connects.
struct PlacedTeam {
  DeviceSlot slot;
  std::vector<std::unique_ptr<Backend>> backends;        // one, or those of a team in order of ranks
  std::vector<std::unique_ptr<Backend>> auxiliary = {};  // of one backend: Team::auxiliary
  std::unique_ptr<Interconnect> interconnect = nullptr;  // of several
  // How much of the device's memory is in use, by everybody; thread-safe. Empty where the device does not say, as the CPU:
  // the process' own memory is a metric anyway.
  std::function<double()> read_used_bytes = nullptr;
  // How the devices are. Empty where they do not say, as the CPU, and GPUs of a machine without NVIDIA's management library.
  DeviceReader read_health = nullptr;

  // Borrows this.
  Team team() const;
};

// The slots of this machine, all of one numerics class: the chosen GPUs, one slot each or in teams of consecutive ones, or
// the CPU, its threads shared out evenly over its slots. Asks the CUDA driver for devices unless the choice is the CPU.
// Errors: those of ChooseCudaDevices, CutIntoTeams, MakeCudaBackend and MakeCudaTeam.
absl::StatusOr<std::vector<PlacedTeam>> MakeDeviceSlots(const DeviceSlotsOptions& options);

// `devices` in teams of `team_size`, in their order. Pure. Errors: FailedPrecondition when some would be left over.
absl::StatusOr<std::vector<std::vector<CudaDevice>>> CutIntoTeams(const std::vector<CudaDevice>& devices,
                                                                  int team_size);

// The devices that a choice means, in its order, where `present` is what CudaDevices() says; none: the CPU. Pure.
// Errors: FailedPrecondition when GPUs were asked for and there are none, when one that was asked for is not there, and when
// they differ in name: then their results differ too, and a worker has one numerics class.
absl::StatusOr<std::vector<CudaDevice>> ChooseCudaDevices(const DeviceChoice& choice,
                                                          const absl::StatusOr<std::vector<CudaDevice>>& present);

}  // namespace gptvq

#endif  // GPTVQ_WORKER_DEVICE_SLOTS_H_

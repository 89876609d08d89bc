#include "worker/device_slots.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_backend.h"
#include "core/cuda/cuda_team.h"
#include "worker/nvml_library.h"

namespace gptvq {
namespace {

constexpr std::size_t kMaxDescriptionBytes = 256;  // of the protocol

// "Intel(R) Xeon(R) ..., 8 threads"
std::string DescribeCpu(int threads) {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::string model = "CPU";
  for (std::string line; std::getline(cpuinfo, line);) {
    const std::size_t colon = line.find(':');
    if (!line.starts_with("model name") || colon == std::string::npos) continue;
    model = std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
    break;
  }
  return absl::StrCat(model, ", ", threads, threads == 1 ? " thread" : " threads").substr(0, kMaxDescriptionBytes);
}

std::uint64_t PhysicalMemoryBytes() {
  return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::vector<PlacedTeam> MakeCpuSlots(const DeviceSlotsOptions& options) {
  std::vector<PlacedTeam> placed;
  for (int i = 0; i < options.cpu_slot_count; ++i) {
    PlacedTeam team;
    team.slot = {.name = absl::StrCat("cpu:", i),
                 .description = DescribeCpu(options.threads_per_cpu_slot),
                 .memory_bytes = PhysicalMemoryBytes() / options.cpu_slot_count};
    team.backends.push_back(MakeCpuBackend({.thread_count = options.threads_per_cpu_slot}));
    placed.push_back(std::move(team));
  }
  return placed;
}

// Reads the devices of a slot. Empty when one of them does not say how it is.
DeviceReader HealthReaderOf(const std::vector<CudaDevice>& devices) {
  const absl::StatusOr<std::shared_ptr<NvmlLibrary>> library = NvmlLibrary::Load();
  if (!library.ok()) return nullptr;
  std::vector<DeviceReader> readers;
  for (const CudaDevice& device : devices) {
    absl::StatusOr<DeviceReader> reader = NvmlLibrary::OpenDevice(*library, device.bus_address);
    if (!reader.ok()) return nullptr;
    readers.push_back(*std::move(reader));
  }
  return [readers = std::move(readers)] {
    std::vector<DeviceReading> readings;
    for (const DeviceReader& read : readers) readings.push_back(read());
    return Combine(readings);
  };
}

std::vector<Backend*> Borrowed(const std::vector<std::unique_ptr<Backend>>& backends) {
  std::vector<Backend*> borrowed;
  for (const std::unique_ptr<Backend>& backend : backends) borrowed.push_back(backend.get());
  return borrowed;
}

// Whether they are used depends on the job: they cost a stream each, and library handles once they work.
absl::StatusOr<std::vector<std::unique_ptr<Backend>>> MakeAuxiliary(const CudaDevice& device, const Backend& lead,
                                                                    int linears_at_once) {
  std::vector<std::unique_ptr<Backend>> auxiliary(linears_at_once - 1);
  for (std::unique_ptr<Backend>& backend : auxiliary) {
    GPTVQ_ASSIGN_OR_RETURN(backend, MakeCudaBackend({.device = device.index, .row_unit = lead.row_unit()}));
  }
  return auxiliary;
}

absl::StatusOr<std::vector<PlacedTeam>> MakeCudaSlots(const std::vector<CudaDevice>& devices, int linears_at_once) {
  std::vector<PlacedTeam> placed;
  for (const CudaDevice& device : devices) {
    GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, MakeCudaBackend({.device = device.index}));
    PlacedTeam team;
    team.slot = {.name = backend->name(),
                 .description = device.name.substr(0, kMaxDescriptionBytes),
                 .memory_bytes = device.memory_bytes};
    team.read_health = HealthReaderOf({device});
    GPTVQ_ASSIGN_OR_RETURN(team.auxiliary, MakeAuxiliary(device, *backend, linears_at_once));
    team.backends.push_back(std::move(backend));
    placed.push_back(std::move(team));
  }
  return placed;
}

// Slots of several devices, "cuda:0,1", with the memory that each of them has.
absl::StatusOr<std::vector<PlacedTeam>> MakeTeamSlots(const std::vector<std::vector<CudaDevice>>& teams,
                                                      int linears_at_once) {
  std::vector<PlacedTeam> placed;
  for (const std::vector<CudaDevice>& devices : teams) {
    std::vector<int> numbers;
    std::uint64_t least_memory = devices.front().memory_bytes;
    for (const CudaDevice& device : devices) {
      numbers.push_back(device.index);
      least_memory = std::min(least_memory, device.memory_bytes);
    }
    GPTVQ_ASSIGN_OR_RETURN(CudaTeam made, MakeCudaTeam({.devices = numbers}));
    PlacedTeam team;
    team.slot = {
        .name = absl::StrCat("cuda:", absl::StrJoin(numbers, ",")),
        .description = absl::StrCat(devices.size(), " x ", devices.front().name).substr(0, kMaxDescriptionBytes),
        .memory_bytes = least_memory};
    team.backends = std::move(made.backends);
    team.interconnect = std::move(made.interconnect);
    if (devices.size() == 1) {
      GPTVQ_ASSIGN_OR_RETURN(team.auxiliary, MakeAuxiliary(devices.front(), *team.backends.front(), linears_at_once));
    }
    team.read_health = HealthReaderOf(devices);
    placed.push_back(std::move(team));
  }
  return placed;
}

// "cuda:0 is NVIDIA H200, cuda:1 is NVIDIA L4"
std::string Listed(const std::vector<CudaDevice>& devices) {
  return absl::StrJoin(devices, ", ", [](std::string* out, const CudaDevice& device) {
    absl::StrAppend(out, "cuda:", device.index, " is ", device.name);
  });
}

absl::StatusOr<std::vector<CudaDevice>> DevicesOf(const std::vector<int>& numbers,
                                                  const std::vector<CudaDevice>& present) {
  if (numbers.empty()) return present;
  std::vector<CudaDevice> chosen;
  for (int number : numbers) {
    const auto found = std::find_if(present.begin(), present.end(),
                                    [number](const CudaDevice& device) { return device.index == number; });
    if (found == present.end()) {
      return absl::FailedPreconditionError(
          absl::StrCat("cuda: there is no usable device cuda:", number, "; here ", Listed(present)));
    }
    chosen.push_back(*found);
  }
  return chosen;
}

}  // namespace

Team PlacedTeam::team() const {
  if (interconnect != nullptr) return Team(Borrowed(backends), *interconnect);
  return Team(*backends.front(), Borrowed(auxiliary));
}

absl::StatusOr<std::vector<PlacedTeam>> MakeDeviceSlots(const DeviceSlotsOptions& options) {
  if (options.device.kind == DeviceChoice::Kind::kCpu) return MakeCpuSlots(options);
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<CudaDevice> devices, ChooseCudaDevices(options.device, CudaDevices()));
  if (devices.empty()) return MakeCpuSlots(options);
  if (options.team_size == 0) return MakeCudaSlots(devices, options.linears_at_once);
  GPTVQ_ASSIGN_OR_RETURN(const auto teams, CutIntoTeams(devices, options.team_size));
  return MakeTeamSlots(teams, options.linears_at_once);
}

absl::StatusOr<std::vector<std::vector<CudaDevice>>> CutIntoTeams(const std::vector<CudaDevice>& devices,
                                                                  int team_size) {
  const auto size = static_cast<std::size_t>(team_size);
  if (devices.empty() || devices.size() % size != 0) {
    return absl::FailedPreconditionError(absl::StrCat(devices.size(), " GPUs are not teams of --team-size ", team_size,
                                                      "; name as many as there shall be with --device cuda:N,M"));
  }
  std::vector<std::vector<CudaDevice>> teams;
  for (std::size_t first = 0; first < devices.size(); first += size) {
    teams.emplace_back(devices.begin() + first, devices.begin() + first + size);
  }
  return teams;
}

absl::StatusOr<std::vector<CudaDevice>> ChooseCudaDevices(const DeviceChoice& choice,
                                                          const absl::StatusOr<std::vector<CudaDevice>>& present) {
  if (choice.kind == DeviceChoice::Kind::kCpu) return std::vector<CudaDevice>();
  if (choice.kind == DeviceChoice::Kind::kAuto && (!present.ok() || present->empty())) return std::vector<CudaDevice>();
  if (!present.ok()) return present.status();
  GPTVQ_ASSIGN_OR_RETURN(std::vector<CudaDevice> chosen, DevicesOf(choice.cuda_devices, *present));
  if (chosen.empty()) return absl::FailedPreconditionError("cuda: this machine has no CUDA device; use the CPU");
  const bool alike = std::all_of(chosen.begin(), chosen.end(),
                                 [&](const CudaDevice& device) { return device.name == chosen.front().name; });
  if (alike) return chosen;
  return absl::FailedPreconditionError(absl::StrCat("the results of different GPUs differ in bits, and ",
                                                    Listed(chosen), "; name those of one kind with --device cuda:N,M"));
}

}  // namespace gptvq

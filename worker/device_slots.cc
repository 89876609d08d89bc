#include "worker/device_slots.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_backend.h"

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

std::vector<PlacedBackend> MakeCpuSlots(const DeviceSlotsOptions& options) {
  std::vector<PlacedBackend> placed;
  for (int i = 0; i < options.cpu_slot_count; ++i) {
    placed.push_back({.slot = {.name = absl::StrCat("cpu:", i),
                               .description = DescribeCpu(options.threads_per_cpu_slot),
                               .memory_bytes = PhysicalMemoryBytes() / options.cpu_slot_count},
                      .backend = MakeCpuBackend({.thread_count = options.threads_per_cpu_slot})});
  }
  return placed;
}

absl::StatusOr<std::vector<PlacedBackend>> MakeCudaSlots(const std::vector<CudaDevice>& devices) {
  std::vector<PlacedBackend> placed;
  for (const CudaDevice& device : devices) {
    GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, MakeCudaBackend({.device = device.index}));
    placed.push_back({.slot = {.name = backend->name(),
                               .description = device.name.substr(0, kMaxDescriptionBytes),
                               .memory_bytes = device.memory_bytes},
                      .backend = std::move(backend)});
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

absl::StatusOr<std::vector<PlacedBackend>> MakeDeviceSlots(const DeviceSlotsOptions& options) {
  if (options.device.kind == DeviceChoice::Kind::kCpu) return MakeCpuSlots(options);
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<CudaDevice> devices, ChooseCudaDevices(options.device, CudaDevices()));
  return devices.empty() ? MakeCpuSlots(options) : MakeCudaSlots(devices);
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

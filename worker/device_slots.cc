#include "worker/device_slots.h"

#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
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

}  // namespace

std::vector<PlacedBackend> MakeDeviceSlots(const DeviceSlotsOptions& options) {
  std::vector<PlacedBackend> placed;
  for (int i = 0; i < options.slot_count; ++i) {
    placed.push_back({.slot = {.name = absl::StrCat("cpu:", i),
                               .description = DescribeCpu(options.threads_per_slot),
                               .memory_bytes = PhysicalMemoryBytes() / options.slot_count},
                      .backend = MakeCpuBackend({.thread_count = options.threads_per_slot})});
  }
  return placed;
}

}  // namespace gptvq

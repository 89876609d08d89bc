#include "platform/device_choice.h"

#include <algorithm>

#include "core/base/status_macros.h"
#include "platform/option_values.h"

namespace gptvq {
namespace {

constexpr std::string_view kCudaPrefix = "cuda:";
constexpr int kMaxDevice = 63;

absl::StatusOr<std::vector<int>> ParseDevices(std::string_view text) {
  std::vector<int> devices;
  while (true) {
    const std::size_t comma = text.find(',');
    GPTVQ_ASSIGN_OR_RETURN(const int device, ParseInteger<int>(text.substr(0, comma), {.min = 0, .max = kMaxDevice}));
    if (std::find(devices.begin(), devices.end(), device) != devices.end()) {
      return absl::InvalidArgumentError("twice the same");
    }
    devices.push_back(device);
    if (comma == std::string_view::npos) return devices;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

absl::StatusOr<DeviceChoice> ParseDeviceChoice(std::string_view text) {
  if (text == "auto") return DeviceChoice{.kind = DeviceChoice::Kind::kAuto, .cuda_devices = {}};
  if (text == "cpu") return DeviceChoice{.kind = DeviceChoice::Kind::kCpu, .cuda_devices = {}};
  if (text == "cuda") return DeviceChoice{.kind = DeviceChoice::Kind::kCuda, .cuda_devices = {}};
  if (text.starts_with(kCudaPrefix)) {
    absl::StatusOr<std::vector<int>> devices = ParseDevices(text.substr(kCudaPrefix.size()));
    if (devices.ok()) return DeviceChoice{.kind = DeviceChoice::Kind::kCuda, .cuda_devices = *std::move(devices)};
  }
  return absl::InvalidArgumentError("must be auto, cpu, cuda, or cuda:N,M,... with every number from 0 to 63 once");
}

}  // namespace gptvq

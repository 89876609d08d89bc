#ifndef GPTVQ_PLATFORM_DEVICE_CHOICE_H_
#define GPTVQ_PLATFORM_DEVICE_CHOICE_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace gptvq {

// Where a program computes, as --device says it.
struct DeviceChoice {
  enum class Kind {
    kAuto,  // every CUDA device of the machine, or its CPU when none can be used
    kCpu,
    kCuda,
  };

  // Not kAuto as long as the CUDA backend has passed its tests on a simulator only (docs/performance.md).
  Kind kind = Kind::kCpu;
  std::vector<int> cuda_devices;  // of kCuda: CUDA's numbers, each once; empty: all

  friend bool operator==(const DeviceChoice&, const DeviceChoice&) = default;
};

// "auto", "cpu", "cuda", "cuda:0", "cuda:0,2". Errors: InvalidArgument that says what is expected ("must be ..."); the
// caller puts the flag's name and the text in front.
absl::StatusOr<DeviceChoice> ParseDeviceChoice(std::string_view text);

// What --device accepts, for its help.
inline constexpr char kDeviceFlagHelp[] =
    "Where to compute: cpu; cuda, every GPU of the machine; cuda:N,M, these GPUs; auto, every GPU, or the CPU if there "
    "is none.";

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_DEVICE_CHOICE_H_

#ifndef GPTVQ_PLATFORM_JOB_DEVICE_HEALTH_H_
#define GPTVQ_PLATFORM_JOB_DEVICE_HEALTH_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "platform/job/device_slot.h"

namespace gptvq {

// What a device needs before it can be trusted with work; mirrors gptvq.v1.DeviceCondition, where the values are described.
// In the order of their gravity.
enum class DeviceCondition { kUnknown, kHealthy, kDrain, kFailedSelfTest, kReset, kReboot };
inline constexpr std::array kAllDeviceConditions = {DeviceCondition::kUnknown, DeviceCondition::kHealthy,
                                                    DeviceCondition::kDrain,   DeviceCondition::kFailedSelfTest,
                                                    DeviceCondition::kReset,   DeviceCondition::kReboot};

std::string_view Name(DeviceCondition condition);  // unknown, healthy, drain, failed_self_test, reset, reboot

// The health of a device slot, as its worker reports it. Soft state: the latest report counts, and no journal keeps it.
struct DeviceHealth {
  std::string slot;  // DeviceSlot::name
  DeviceCondition condition = DeviceCondition::kUnknown;
  std::uint64_t uncorrected_errors = 0;  // of its memory, since the driver was loaded
  std::string detail;                    // for people

  friend bool operator==(const DeviceHealth&, const DeviceHealth&) = default;
};

// A device of which nothing is known is one that says nothing, as the CPU.
bool IsUsable(DeviceCondition condition);

// Whether a slot may be given a task: neither it nor the host that it shares with `devices` is out. The empty name is of no
// slot in particular.
bool MayTakeTask(const std::vector<DeviceHealth>& devices, std::string_view slot);
// Whether any of `slots` may.
bool AnyMayTakeTask(const std::vector<DeviceHealth>& devices, const std::vector<DeviceSlot>& slots);
// Whether the host has to be started anew: then nothing on it is to be trusted.
bool NeedsReboot(const std::vector<DeviceHealth>& devices);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_DEVICE_HEALTH_H_

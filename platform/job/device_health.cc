#include "platform/job/device_health.h"

#include <algorithm>

namespace gptvq {

std::string_view Name(DeviceCondition condition) {
  switch (condition) {
    case DeviceCondition::kUnknown: return "unknown";
    case DeviceCondition::kHealthy: return "healthy";
    case DeviceCondition::kDrain: return "drain";
    case DeviceCondition::kFailedSelfTest: return "failed_self_test";
    case DeviceCondition::kReset: return "reset";
    case DeviceCondition::kReboot: return "reboot";
  }
  return "";
}

bool IsUsable(DeviceCondition condition) {
  return condition == DeviceCondition::kUnknown || condition == DeviceCondition::kHealthy;
}

bool MayTakeTask(const std::vector<DeviceHealth>& devices, std::string_view slot) {
  return std::none_of(devices.begin(), devices.end(), [&](const DeviceHealth& device) {
    return device.condition == DeviceCondition::kReboot || (device.slot == slot && !IsUsable(device.condition));
  });
}

bool AnyMayTakeTask(const std::vector<DeviceHealth>& devices, const std::vector<DeviceSlot>& slots) {
  if (NeedsReboot(devices)) return false;
  return slots.empty() || std::any_of(slots.begin(), slots.end(),
                                      [&](const DeviceSlot& slot) { return MayTakeTask(devices, slot.name); });
}

bool NeedsReboot(const std::vector<DeviceHealth>& devices) {
  return std::any_of(devices.begin(), devices.end(),
                     [](const DeviceHealth& device) { return device.condition == DeviceCondition::kReboot; });
}

}  // namespace gptvq

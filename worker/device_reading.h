#ifndef GPTVQ_WORKER_DEVICE_READING_H_
#define GPTVQ_WORKER_DEVICE_READING_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "platform/job/device_health.h"

namespace gptvq {

// What a device says of itself at one moment. The counters only rise; what came between two readings is their difference.
struct DeviceReading {
  DeviceCondition condition = DeviceCondition::kUnknown;
  std::uint64_t uncorrected_errors = 0;  // of its memory, since the driver was loaded
  std::uint64_t faults = 0;              // of the device, not of the program: Xids since it was opened
  std::string detail = {};               // for people: why the condition is what it is, or the latest fault
};

// Reads a device. Called by one thread; may take long, or never return, when the device is gone.
using DeviceReader = std::function<DeviceReading()>;

// The devices of a slot as one: the gravest condition, and the sums of the counters.
DeviceReading Combine(const std::vector<DeviceReading>& readings);

}  // namespace gptvq

#endif  // GPTVQ_WORKER_DEVICE_READING_H_

#include "worker/device_reading.h"

namespace gptvq {

DeviceReading Combine(const std::vector<DeviceReading>& readings) {
  DeviceReading combined;
  for (const DeviceReading& reading : readings) {
    combined.uncorrected_errors += reading.uncorrected_errors;
    combined.faults += reading.faults;
    const bool graver = reading.condition > combined.condition;
    if (graver || combined.detail.empty()) combined.detail = reading.detail;
    if (graver) combined.condition = reading.condition;
  }
  return combined;
}

}  // namespace gptvq

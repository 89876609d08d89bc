#ifndef GPTVQ_PLATFORM_JOB_DEVICE_SLOT_H_
#define GPTVQ_PLATFORM_JOB_DEVICE_SLOT_H_

#include <cstdint>
#include <string>

namespace gptvq {

// The place of a worker on one GPU or CPU, as the coordinator lists it.
struct DeviceSlot {
  std::string name;         // "cpu:0"
  std::string description;  // for people
  std::uint64_t memory_bytes = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_DEVICE_SLOT_H_

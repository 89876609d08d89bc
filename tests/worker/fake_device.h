#ifndef GPTVQ_TESTS_WORKER_FAKE_DEVICE_H_
#define GPTVQ_TESTS_WORKER_FAKE_DEVICE_H_

#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "worker/device_watch.h"

namespace gptvq {

// A device that says of itself what a test wants. Thread-safe; must outlive what reads it.
class FakeDevice {
 public:
  explicit FakeDevice(DeviceReading reading = {.condition = DeviceCondition::kHealthy})
      : reading_(std::move(reading)) {}

  void Say(DeviceReading reading) {
    const std::lock_guard lock(mutex_);
    reading_ = std::move(reading);
  }
  void FailTests(absl::Status status) {
    const std::lock_guard lock(mutex_);
    test_status_ = std::move(status);
  }
  int tests() const {
    const std::lock_guard lock(mutex_);
    return tests_;
  }

  // As the slot `name`.
  WatchedDevice Watched(std::string name) {
    return {std::move(name),
            [this] {
              const std::lock_guard lock(mutex_);
              return reading_;
            },
            [this] {
              const std::lock_guard lock(mutex_);
              ++tests_;
              return test_status_;
            }};
  }

 private:
  mutable std::mutex mutex_;
  DeviceReading reading_;
  absl::Status test_status_;
  int tests_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_WORKER_FAKE_DEVICE_H_

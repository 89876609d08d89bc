#ifndef GPTVQ_WORKER_DEVICE_WATCH_H_
#define GPTVQ_WORKER_DEVICE_WATCH_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "worker/device_reading.h"
#include "worker/worker_metrics.h"

namespace gptvq {

// A device that is still there, but was at fault while it worked: what it computed is void, and it is tested before it gets
// more. Marked by a payload; unlike a lost device (core/backend/device_lost.h) it does not end the process.
absl::Status DeviceFaultError(std::string_view message);
bool IsDeviceFault(const absl::Status& status);

// The place of a device slot, as it is watched.
struct WatchedDevice {
  std::string slot;                         // DeviceSlot::name
  DeviceReader read;                        // empty: the device says nothing of its health
  std::function<absl::Status()> self_test;  // by the thread that may use the device
};

// Knows which device slots of this worker may work. A thread of its own reads the devices once per period and when somebody
// waits for it, because a reading may hang when a device is gone: heartbeats must not hang with it, and whoever computes never
// reads. Without a device that says anything there is no such thread, and every slot may work.
//
// Slots go by their place in the vector that was given. Borrows clock, log and metrics. Thread-safe.
class DeviceWatch {
 public:
  DeviceWatch(std::vector<WatchedDevice> devices, Clock& clock, Logger& log, WorkerMetrics& metrics);
  // Waits for a reading that goes on.
  ~DeviceWatch();

  // How often devices are read when nobody asks. Begins the reading.
  void Start(std::chrono::milliseconds period);

  // `on_change` is told, on the thread that noticed, whenever the health of a slot has changed; empty: nobody. When this
  // returns, the one before is not being told anything any more.
  void OnChange(std::function<void()> on_change);

  const std::string& NameOf(int slot) const { return places_[slot].device.slot; }

  // As last read; never waits.
  std::vector<DeviceHealth> Report() const;
  bool MayTakeTask(int slot) const;
  bool AnyMayTakeTask() const;

  // Where the counters of a device stand.
  struct Mark {
    std::uint64_t uncorrected_errors = 0;
    std::uint64_t faults = 0;
  };
  Mark MarkOf(int slot) const;
  // Whether what the device did since then can be trusted, by a reading that begins now. A device that does not say so within
  // ten seconds is one of which nothing is known. Errors: DeviceFaultError.
  absl::Status CheckSince(int slot, const Mark& mark);

  // Runs the self test of a slot, on the calling thread. A slot that fails it is out for as long as this process lives.
  // Errors: those of the test.
  absl::Status Test(int slot);

 private:
  struct Place {
    WatchedDevice device;
    DeviceReading reading;                   // the latest
    std::optional<std::string> failed_test;  // why
  };

  void Run(std::stop_token stop);
  void ReadAll();
  void Take(std::size_t slot, const DeviceReading& reading);
  DeviceHealth HealthOf(const Place& place) const;
  // Outside mutex_.
  void TellChange();

  Clock& clock_;
  Logger& log_;
  WorkerMetrics& metrics_;
  std::chrono::milliseconds period_{0};

  mutable std::mutex mutex_;
  std::condition_variable read_;  // a reading of all devices has ended
  // Guarded by mutex_:
  std::vector<Place> places_;  // the vector itself and its devices never change
  std::uint64_t begun_readings_ = 0;
  std::uint64_t ended_readings_ = 0;
  std::uint64_t wanted_reading_ = 0;  // its number
  std::stop_source wake_;             // ends the thread's sleep

  std::mutex observer_mutex_;
  std::function<void()> on_change_;  // guarded by observer_mutex_

  std::jthread thread_;  // last: it ends before the fields above go away
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_DEVICE_WATCH_H_

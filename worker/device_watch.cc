#include "worker/device_watch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "platform/thread_name.h"

namespace gptvq {
namespace {

constexpr char kDeviceFaultUrl[] = "gptvq/device-fault";
constexpr std::chrono::seconds kReadingTimeout(10);

}  // namespace

absl::Status DeviceFaultError(std::string_view message) {
  absl::Status status(absl::StatusCode::kInternal, absl::string_view(message.data(), message.size()));
  status.SetPayload(kDeviceFaultUrl, absl::Cord());
  return status;
}

bool IsDeviceFault(const absl::Status& status) { return status.GetPayload(kDeviceFaultUrl).has_value(); }

DeviceWatch::DeviceWatch(std::vector<WatchedDevice> devices, Clock& clock, Logger& log, WorkerMetrics& metrics)
    : clock_(clock), log_(log), metrics_(metrics) {
  for (WatchedDevice& device : devices) {
    places_.push_back({std::move(device), {}, std::nullopt});
    metrics_.ShowHealth(HealthOf(places_.back()), 0);
  }
}

DeviceWatch::~DeviceWatch() = default;

void DeviceWatch::Start(std::chrono::milliseconds period) {
  const bool any =
      std::any_of(places_.begin(), places_.end(), [](const Place& place) { return place.device.read != nullptr; });
  if (!any || thread_.joinable()) return;
  period_ = period;
  ReadAll();  // before the first task
  thread_ = std::jthread([this](std::stop_token stop) { Run(std::move(stop)); });
}

void DeviceWatch::OnChange(std::function<void()> on_change) {
  const std::lock_guard lock(observer_mutex_);
  on_change_ = std::move(on_change);
}

std::vector<DeviceHealth> DeviceWatch::Report() const {
  const std::lock_guard lock(mutex_);
  std::vector<DeviceHealth> report;
  for (const Place& place : places_) report.push_back(HealthOf(place));
  return report;
}

bool DeviceWatch::MayTakeTask(int slot) const {
  const std::vector<DeviceHealth> report = Report();
  return gptvq::MayTakeTask(report, report[slot].slot);
}

bool DeviceWatch::AnyMayTakeTask() const {
  const std::vector<DeviceHealth> report = Report();
  return std::any_of(report.begin(), report.end(),
                     [&](const DeviceHealth& device) { return gptvq::MayTakeTask(report, device.slot); });
}

DeviceWatch::Mark DeviceWatch::MarkOf(int slot) const {
  const std::lock_guard lock(mutex_);
  const DeviceReading& reading = places_[slot].reading;
  return {reading.uncorrected_errors, reading.faults};
}

absl::Status DeviceWatch::CheckSince(int slot, const Mark& mark) {
  std::unique_lock lock(mutex_);
  const Place& place = places_[slot];
  if (place.device.read == nullptr) return absl::OkStatus();
  const std::uint64_t wanted = begun_readings_ + 1;
  wanted_reading_ = std::max(wanted_reading_, wanted);
  wake_.request_stop();
  if (!read_.wait_for(lock, kReadingTimeout, [&] { return ended_readings_ >= wanted; })) {
    log_.Warning("a device does not say how it is", {{"slot", place.device.slot}});
    return absl::OkStatus();
  }
  const DeviceReading& reading = place.reading;
  if (reading.condition >= DeviceCondition::kReset) {
    return DeviceFaultError(absl::StrCat("device ", place.device.slot, " is out: ", reading.detail));
  }
  if (reading.uncorrected_errors > mark.uncorrected_errors) {
    return DeviceFaultError(absl::StrCat("device ", place.device.slot, " had ",
                                         reading.uncorrected_errors - mark.uncorrected_errors,
                                         " uncorrected memory errors while it worked"));
  }
  if (reading.faults > mark.faults) {
    return DeviceFaultError(
        absl::StrCat("device ", place.device.slot, " was at fault while it worked: ", reading.detail));
  }
  return absl::OkStatus();
}

absl::Status DeviceWatch::Test(int slot) {
  const WatchedDevice& device = places_[slot].device;
  const absl::Status status = device.self_test == nullptr ? absl::OkStatus() : device.self_test();
  log_.Info("self test", {{"slot", device.slot}, {"status", status.ToString()}});
  if (status.ok()) return status;
  {
    const std::lock_guard lock(mutex_);
    places_[slot].failed_test = std::string(status.message());
    metrics_.ShowHealth(HealthOf(places_[slot]), places_[slot].reading.faults);
  }
  TellChange();
  return status;
}

void DeviceWatch::Run(std::stop_token stop) {
  NameThisThread("devices");
  const std::stop_callback on_stop(stop, [this] {
    const std::lock_guard lock(mutex_);
    wake_.request_stop();
  });
  while (!stop.stop_requested()) {
    std::stop_token wake;
    {
      const std::lock_guard lock(mutex_);
      if (wanted_reading_ <= ended_readings_ && !stop.stop_requested()) wake_ = std::stop_source();
      wake = wake_.get_token();
    }
    clock_.Sleep(period_, wake);
    if (!stop.stop_requested()) ReadAll();
  }
}

void DeviceWatch::ReadAll() {
  {
    const std::lock_guard lock(mutex_);
    ++begun_readings_;
  }
  const std::vector<DeviceHealth> before = Report();
  for (std::size_t slot = 0; slot < places_.size(); ++slot) {
    if (places_[slot].device.read != nullptr) Take(slot, places_[slot].device.read());
  }
  {
    const std::lock_guard lock(mutex_);
    ended_readings_ = begun_readings_;
  }
  read_.notify_all();
  if (before != Report()) TellChange();
}

void DeviceWatch::Take(std::size_t slot, const DeviceReading& reading) {
  const std::lock_guard lock(mutex_);
  Place& place = places_[slot];
  const bool news = reading.condition != place.reading.condition || reading.faults != place.reading.faults ||
                    reading.uncorrected_errors != place.reading.uncorrected_errors;
  place.reading = reading;
  const DeviceHealth health = HealthOf(place);
  metrics_.ShowHealth(health, reading.faults);
  if (!news) return;
  log_.Info("health of a device", {{"slot", health.slot},
                                   {"condition", Name(health.condition)},
                                   {"uncorrected_errors", health.uncorrected_errors},
                                   {"faults", reading.faults},
                                   {"detail", health.detail}});
}

// Under mutex_.
DeviceHealth DeviceWatch::HealthOf(const Place& place) const {
  const DeviceReading& reading = place.reading;
  DeviceHealth health = {place.device.slot, reading.condition, reading.uncorrected_errors, reading.detail};
  if (place.failed_test && reading.condition < DeviceCondition::kFailedSelfTest) {
    health.condition = DeviceCondition::kFailedSelfTest;
    health.detail = *place.failed_test;
  }
  constexpr std::size_t kMaxDetailBytes = 256;  // of the protocol
  health.detail.resize(std::min(health.detail.size(), kMaxDetailBytes));
  return health;
}

void DeviceWatch::TellChange() {
  const std::lock_guard lock(observer_mutex_);
  if (on_change_) on_change_();
}

}  // namespace gptvq

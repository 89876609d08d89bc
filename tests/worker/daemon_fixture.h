#ifndef GPTVQ_TESTS_WORKER_DAEMON_FIXTURE_H_
#define GPTVQ_TESTS_WORKER_DAEMON_FIXTURE_H_

#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "platform/log.h"
#include "tests/support/fake_clock.h"
#include "tests/worker/fake_coordinator.h"
#include "tests/worker/fake_device.h"
#include "worker/lease_loop.h"

namespace gptvq {

// Runs whatever the test says.
class ScriptedExecutor final : public TaskExecutor {
 public:
  using Script = std::function<absl::StatusOr<TaskResult>(const TaskGrant&, TaskSession&)>;

  explicit ScriptedExecutor(Script script) : script_(std::move(script)) {}

  absl::StatusOr<TaskResult> Execute(const TaskGrant& grant, TaskSession& session) override {
    return script_(grant, session);
  }

 private:
  const Script script_;
};

inline TaskResult AResult() { return {.seconds = {{TaskPhase::kQuantize, 2.5}}, .outcome = QuantizeResult{}}; }

// A daemon against the fake coordinator, on its own thread.
class Daemon {
 public:
  // The first slots are those of `devices`; the others say nothing of their health.
  explicit Daemon(ScriptedExecutor::Script script, int slot_count = 1, const std::vector<FakeDevice*>& devices = {})
      : executor_(std::move(script)) {
    std::vector<WatchedDevice> watched;
    for (FakeDevice* device : devices) watched.push_back(device->Watched("gpu:" + std::to_string(watched.size())));
    while (watched.size() < slot_count) watched.push_back({"cpu:" + std::to_string(watched.size()), nullptr, nullptr});
    devices_.emplace(std::move(watched), clock, log_, metrics_);
    loop_.emplace(LeaseLoopOptions{}, std::vector<TaskExecutor*>(slot_count, &executor_), *devices_, coordinator, clock,
                  log_, metrics_);
  }
  ~Daemon() { Drain().IgnoreError(); }

  void Start() {
    devices_->Start(std::chrono::seconds(1));
    thread_ = std::jthread([this] { status_ = loop_->Run(drain_.get_token()); });
  }
  // Drains and returns what Run() said.
  absl::Status Drain() {
    drain_.request_stop();
    return Join();
  }
  // Waits for Run() to end by itself.
  absl::Status Join() {
    if (thread_.joinable()) thread_.join();
    return status_;
  }
  void RequestDrain() { drain_.request_stop(); }
  // Lets one heartbeat pass.
  void Beat() {
    clock.AwaitSleepers(1);
    clock.Advance(std::chrono::seconds(10));
  }
  std::string MetricsText() const { return registry_.RenderText(); }
  void AwaitMetric(const std::string& line) const {
    while (MetricsText().find(line) == std::string::npos) std::this_thread::yield();
  }

  FakeCoordinator coordinator;
  FakeClock clock;

 private:
  ScriptedExecutor executor_;
  std::ostringstream log_text_;
  Logger log_{LogLevel::kDebug, log_text_};
  MetricsRegistry registry_{"worker"};
  WorkerMetrics metrics_{registry_};
  std::optional<DeviceWatch> devices_;
  std::optional<LeaseLoop> loop_;
  std::stop_source drain_;
  absl::Status status_;
  std::jthread thread_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_WORKER_DAEMON_FIXTURE_H_

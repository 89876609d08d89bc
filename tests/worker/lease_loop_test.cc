#include "worker/lease_loop.h"

#include <atomic>
#include <functional>
#include <future>
#include <latch>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "core/backend/device_lost.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/job/error_reason.h"
#include "tests/support/fake_clock.h"
#include "tests/worker/fake_coordinator.h"
#include "tests/worker/fake_device.h"
#include "worker/lost_artifacts.h"

namespace gptvq {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

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

TaskResult AResult() { return {.seconds = {{TaskPhase::kQuantize, 2.5}}, .outcome = QuantizeResult{}}; }

// Works until it is told to stop.
absl::StatusOr<TaskResult> WorkUntilStopped(TaskSession& session) {
  while (true) {
    const absl::Status status = session.ReportProgress(1, "q_proj", 0.5);
    if (!status.ok()) return status;
    std::this_thread::yield();
  }
}

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
    devices_->Start(seconds(1));
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
    clock.Advance(seconds(10));
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

TEST(LeaseLoop, RunsTasksOneAfterTheOtherAndCompletesThem) {
  Daemon daemon([](const TaskGrant&, TaskSession&) { return AResult(); });
  daemon.coordinator.Grant(AGrant("A"));
  daemon.coordinator.Grant(AGrant("B"));

  daemon.Start();
  daemon.coordinator.Await("complete B");

  EXPECT_TRUE(daemon.Drain().ok());
  EXPECT_THAT(daemon.coordinator.Calls(), ElementsAre("register", "complete A", "complete B"));
  EXPECT_THAT(daemon.MetricsText(), HasSubstr("gptvq_worker_tasks_total{kind=\"quantize\",result=\"completed\"} 2"));
}

TEST(LeaseLoop, EverySlotHoldsATask) {
  std::promise<void> both_run;
  std::atomic<int> running = 0;
  Daemon daemon(
      [&](const TaskGrant&, TaskSession& session) {
        if (++running == 2) both_run.set_value();
        return WorkUntilStopped(session);
      },
      2);
  daemon.coordinator.Grant(AGrant("A"));
  daemon.coordinator.Grant(AGrant("B"));

  daemon.Start();
  both_run.get_future().wait();

  EXPECT_TRUE(daemon.Drain().ok());
  EXPECT_THAT(daemon.coordinator.Calls(), testing::UnorderedElementsAre("register", "release A", "release B"));
}

TEST(LeaseLoop, PublishesLayersAndCountsTheirErrors) {
  Daemon daemon([](const TaskGrant&, TaskSession& session) -> absl::StatusOr<TaskResult> {
    LinearReport linear;
    linear.relative_error = 0.015;
    if (absl::Status status = session.PublishLayer(0, "packed", {linear, linear}); !status.ok()) return status;
    return AResult();
  });
  daemon.coordinator.Grant(AGrant("A"));

  daemon.Start();
  daemon.coordinator.Await("complete A");
  daemon.Drain().IgnoreError();

  EXPECT_THAT(daemon.coordinator.Calls(), Contains("publish A 0 (6 bytes)"));
  EXPECT_THAT(daemon.MetricsText(), HasSubstr("gptvq_worker_published_bytes_total 6"));
  EXPECT_THAT(daemon.MetricsText(), HasSubstr("gptvq_worker_linear_relative_error_count 2"));
}

TEST(LeaseLoop, ACheckpointThatIsRefusedEndsNothingUnlessTheLeaseIsLost) {
  absl::Status refused, lost, after;
  std::latch told(1);
  Daemon daemon([&](const TaskGrant&, TaskSession& session) -> absl::StatusOr<TaskResult> {
    const TaskCheckpoint checkpoint = {.layer = 3, .sequence = 2, .artifact = {}, .linears = {}};
    refused = session.KeepCheckpoint(checkpoint, {});
    after = session.ReportProgress(3, "o_proj", 0.5);
    lost = session.KeepCheckpoint(checkpoint, {});
    told.count_down();
    return session.ReportProgress(3, "o_proj", 0.5);
  });
  daemon.coordinator.AnswerNext("checkpoint", Refuse(ErrorReason::kCheckpointOutdated, "a later one is kept"));
  daemon.coordinator.AnswerNext("checkpoint", Refuse(ErrorReason::kStaleEpoch, "somebody else has it"));
  daemon.coordinator.Grant(AGrant("A"));

  daemon.Start();
  told.wait();

  EXPECT_TRUE(daemon.Drain().ok());
  EXPECT_EQ(ReasonOf(refused), ErrorReason::kCheckpointOutdated);
  EXPECT_EQ(after, absl::OkStatus());
  EXPECT_EQ(ReasonOf(lost), ErrorReason::kStaleEpoch);
  EXPECT_THAT(daemon.MetricsText(), HasSubstr("gptvq_worker_lease_losses_total 1"));
  EXPECT_THAT(daemon.coordinator.CallsOf("fail"), testing::IsEmpty());
}

TEST(LeaseLoop, FailedTaskIsReportedWithItsClass) {
  Daemon daemon([](const TaskGrant&, TaskSession&) -> absl::StatusOr<TaskResult> {
    return absl::InvalidArgumentError("config.json: hidden_size must be positive");
  });
  daemon.coordinator.Grant(AGrant("A"));

  daemon.Start();
  daemon.coordinator.Await("fail");

  EXPECT_TRUE(daemon.Drain().ok());
  EXPECT_THAT(daemon.coordinator.Calls(),
              ElementsAre("register", "fail A input: config.json: hidden_size must be positive"));
}

TEST(LeaseLoop, FailedTaskNamesEveryArtifactThatItMissed) {
  const Digest layer = Digest::Of(AsBytes("layer"));
  const Digest boundary = Digest::Of(AsBytes("boundary"));
  Daemon daemon([&](const TaskGrant&, TaskSession&) -> absl::StatusOr<TaskResult> {
    const absl::Status one = NameLostArtifacts(absl::DataLossError("gone"), {layer});
    return WithContext(NameLostArtifacts(one, {boundary}), "layer 3");
  });
  daemon.coordinator.Grant(AGrant("A"));

  daemon.Start();
  daemon.coordinator.Await("fail");

  EXPECT_TRUE(daemon.Drain().ok());
  EXPECT_THAT(daemon.coordinator.Calls(),
              Contains("fail A transient: layer 3: gone lost " + layer.hex() + " lost " + boundary.hex()));
}

TEST(LeaseLoop, ExceptionOfALibraryFailsTheTaskAlone) {
  int call_count = 0;
  Daemon daemon([&](const TaskGrant&, TaskSession&) -> absl::StatusOr<TaskResult> {
    if (++call_count == 1) throw std::runtime_error("surprise");
    return AResult();
  });
  daemon.coordinator.Grant(AGrant("A"));
  daemon.coordinator.Grant(AGrant("B"));

  daemon.Start();
  daemon.coordinator.Await("complete B");

  EXPECT_THAT(daemon.coordinator.Calls(), Contains("fail A bug: unexpected exception: surprise"));
}

TEST(LeaseLoop, RenewsOncePerHeartbeatWithTheLatestProgress) {
  std::promise<void> working;
  Daemon daemon([&](const TaskGrant&, TaskSession& session) {
    session.ReportProgress(1, "k_proj", 0.25).IgnoreError();
    working.set_value();
    return WorkUntilStopped(session);
  });
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  working.get_future().wait();

  daemon.Beat();
  daemon.coordinator.Await("renew A", 1);
  daemon.Beat();
  daemon.coordinator.Await("renew A", 2);

  EXPECT_THAT(daemon.coordinator.CallsOf("renew"), testing::Each(StartsWith("renew A layer=1 step=")));
}

TEST(LeaseLoop, CancellationEndsTheWorkWithinOneHeartbeatAndReleases) {
  std::promise<void> working;
  Daemon daemon([&](const TaskGrant&, TaskSession& session) {
    working.set_value();
    return WorkUntilStopped(session);
  });
  daemon.coordinator.RequestCancel();
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  working.get_future().wait();

  daemon.Beat();
  daemon.coordinator.Await("release A");

  EXPECT_THAT(daemon.coordinator.CallsOf("renew"), testing::SizeIs(1));
  EXPECT_THAT(daemon.coordinator.CallsOf("fail"), testing::IsEmpty());
}

TEST(LeaseLoop, LeaseThatSomebodyElseHoldsIsDroppedWithoutAWord) {
  std::promise<void> working;
  Daemon daemon([&](const TaskGrant& grant, TaskSession& session) -> absl::StatusOr<TaskResult> {
    if (grant.lease.task_id == "B") return AResult();
    working.set_value();
    return WorkUntilStopped(session);
  });
  daemon.coordinator.AnswerNext("renew", Refuse(ErrorReason::kStaleEpoch, "granted to another worker"));
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  working.get_future().wait();

  daemon.Beat();
  daemon.coordinator.Grant(AGrant("B"));
  daemon.coordinator.Await("complete B");

  daemon.Drain().IgnoreError();
  EXPECT_THAT(daemon.coordinator.CallsOf("release A"), testing::IsEmpty());
  EXPECT_THAT(daemon.coordinator.CallsOf("fail"), testing::IsEmpty());
  EXPECT_THAT(daemon.MetricsText(), HasSubstr("gptvq_worker_lease_losses_total 1"));
}

TEST(LeaseLoop, WorkIsDroppedWhenTheCertificateDoesNotCountAnyMore) {
  std::promise<void> working;
  std::promise<void> stopped;
  Daemon daemon([&](const TaskGrant&, TaskSession& session) -> absl::StatusOr<TaskResult> {
    working.set_value();
    absl::StatusOr<TaskResult> result = WorkUntilStopped(session);
    stopped.set_value();
    return result;
  });
  daemon.coordinator.AnswerNext("renew", absl::UnauthenticatedError("the certificate was revoked"));
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  working.get_future().wait();

  daemon.Beat();
  stopped.get_future().wait();

  daemon.Drain().IgnoreError();
  EXPECT_THAT(daemon.coordinator.CallsOf("release A"), testing::IsEmpty());
}

TEST(LeaseLoop, PublishThatIsRefusedAsStaleEndsTheWork) {
  Daemon daemon([](const TaskGrant&, TaskSession& session) -> absl::StatusOr<TaskResult> {
    const absl::Status status = session.PublishLayer(0, "x", {});
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
    return status;
  });
  daemon.coordinator.AnswerNext("publish", Refuse(ErrorReason::kNotHeld, "no longer held"));
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  daemon.coordinator.Await("poll poll-2");

  EXPECT_THAT(daemon.coordinator.Calls(), ElementsAre("register", "publish A 0 (1 bytes)"));
}

TEST(LeaseLoop, PublishOfACancelledJobReleases) {
  Daemon daemon([](const TaskGrant&, TaskSession& session) -> absl::StatusOr<TaskResult> {
    return session.PublishLayer(0, "x", {});
  });
  daemon.coordinator.AnswerNext("publish", Refuse(ErrorReason::kJobCancelled, "the job was cancelled"));
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  daemon.coordinator.Await("release A");
}

TEST(LeaseLoop, PublishConflictIsABugAndNotTheInputsFault) {
  Daemon daemon([](const TaskGrant&, TaskSession& session) -> absl::StatusOr<TaskResult> {
    return session.PublishLayer(0, "x", {});
  });
  daemon.coordinator.AnswerNext("publish", Refuse(ErrorReason::kLayerConflict, "another digest"));
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  daemon.coordinator.Await("fail A bug: publishing layer 0");
}

TEST(LeaseLoop, ResultWithoutItsArtifactIsTriedAgain) {
  Daemon daemon([](const TaskGrant&, TaskSession&) { return AResult(); });
  daemon.coordinator.AnswerNext("complete", Refuse(ErrorReason::kOutputMissing, "boundary is not in the store"));
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  daemon.coordinator.Await("fail A transient: the coordinator did not take the result: boundary is not in the store");
}

TEST(LeaseLoop, WorksOnWhileTheCoordinatorIsAwayUntilTheTaskIsAnOrphan) {
  std::promise<void> working;
  Daemon daemon([&](const TaskGrant& grant, TaskSession& session) -> absl::StatusOr<TaskResult> {
    if (grant.lease.task_id == "B") return AResult();
    working.set_value();
    return WorkUntilStopped(session);
  });
  for (int i = 0; i < 90; ++i) daemon.coordinator.AnswerNext("renew", absl::UnavailableError("away"));
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  working.get_future().wait();

  for (int beat = 1; beat <= 89; ++beat) {  // 14 minutes and 50 seconds
    daemon.Beat();
    daemon.coordinator.Await("renew A", beat);
  }
  daemon.clock.AwaitSleepers(1);
  EXPECT_THAT(daemon.coordinator.CallsOf("poll poll-2"), testing::IsEmpty());
  daemon.Beat();

  daemon.coordinator.Await("poll poll-2");
  EXPECT_THAT(daemon.coordinator.CallsOf("release"), testing::IsEmpty());
}

TEST(LeaseLoop, DrainReleasesWhatIsHeldAndReturnsOk) {
  std::promise<void> working;
  Daemon daemon([&](const TaskGrant&, TaskSession& session) {
    working.set_value();
    return WorkUntilStopped(session);
  });
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  working.get_future().wait();

  EXPECT_TRUE(daemon.Drain().ok());

  EXPECT_THAT(daemon.coordinator.Calls(), ElementsAre("register", "release A"));
  EXPECT_THAT(daemon.MetricsText(), HasSubstr("{kind=\"quantize\",result=\"released\"} 1"));
}

TEST(LeaseLoop, WorkThatIsDoneWhenTheDrainComesStillCounts) {
  std::promise<void> working;
  std::promise<void> finish;
  Daemon daemon([&](const TaskGrant&, TaskSession&) {
    working.set_value();
    finish.get_future().wait();
    return AResult();
  });
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  working.get_future().wait();

  daemon.RequestDrain();
  finish.set_value();

  EXPECT_TRUE(daemon.Join().ok());
  EXPECT_THAT(daemon.coordinator.Calls(), ElementsAre("register", "complete A"));
}

TEST(LeaseLoop, DrainDoesNotWaitLongForACoordinatorThatIsAway) {
  std::promise<void> working;
  Daemon daemon([&](const TaskGrant&, TaskSession& session) {
    working.set_value();
    return WorkUntilStopped(session);
  });
  daemon.coordinator.AnswerNext("release", absl::UnavailableError("away"));
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  working.get_future().wait();

  EXPECT_TRUE(daemon.Drain().ok());
  EXPECT_THAT(daemon.MetricsText(), HasSubstr("{kind=\"quantize\",result=\"lost\"} 1"));
}

TEST(LeaseLoop, LostDeviceIsReportedAndEndsTheDaemon) {
  Daemon daemon(
      [](const TaskGrant&, TaskSession&) -> absl::StatusOr<TaskResult> { return DeviceLostError("illegal address"); });
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();

  const absl::Status status = daemon.Join();

  EXPECT_TRUE(IsDeviceLost(status)) << status;
  EXPECT_THAT(daemon.coordinator.Calls(), ElementsAre("register", "fail A device: illegal address"));
}

TEST(LeaseLoop, RegistersAgainWhenTheCoordinatorHasForgottenIt) {
  Daemon daemon([](const TaskGrant&, TaskSession&) { return AResult(); });
  daemon.coordinator.AnswerNext("poll", Refuse(ErrorReason::kWorkerUnknown, "register first"));
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  daemon.coordinator.Await("complete A");

  daemon.Drain().IgnoreError();
  EXPECT_THAT(daemon.coordinator.Calls(), ElementsAre("register", "register", "complete A"));
}

TEST(LeaseLoop, CoordinatorOfAnotherProtocolEndsTheDaemon) {
  Daemon daemon([](const TaskGrant&, TaskSession&) { return AResult(); });
  daemon.coordinator.AnswerNext("register", Refuse(ErrorReason::kUpgradeRequired, "protocol 1.0 against 2.0"));
  daemon.Start();

  EXPECT_EQ(ReasonOf(daemon.Join()), ErrorReason::kUpgradeRequired);
}

TEST(LeaseLoop, PollThatIsRefusedForGoodEndsTheDaemonAndReleases) {
  std::promise<void> working;
  Daemon daemon(
      [&](const TaskGrant&, TaskSession& session) {
        working.set_value();
        return WorkUntilStopped(session);
      },
      2);
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();
  working.get_future().wait();

  daemon.coordinator.AnswerNext("poll", absl::PermissionDeniedError("not a worker"));

  EXPECT_EQ(daemon.Join().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(daemon.coordinator.Calls(), ElementsAre("register", "release A"));
}

TEST(LeaseLoop, ADeviceThatErredVoidsWhatItSaysIsDone) {
  FakeDevice device;
  Daemon daemon(
      [&](const TaskGrant& grant, TaskSession&) {
        if (grant.lease.task_id == "A") device.Say({.condition = DeviceCondition::kHealthy, .uncorrected_errors = 1});
        return AResult();
      },
      1, {&device});
  daemon.coordinator.Grant(AGrant("A"));
  daemon.coordinator.Grant(AGrant("B"));

  daemon.Start();
  daemon.coordinator.Await("complete B");

  EXPECT_TRUE(daemon.Drain().ok());
  EXPECT_THAT(daemon.coordinator.Calls(),
              ElementsAre("register", "fail A device: device gpu:0 had 1 uncorrected memory errors while it worked",
                          "complete B"));
  EXPECT_EQ(device.tests(), 1);  // before it got the next one
}

TEST(LeaseLoop, ADeviceThatErredPublishesNothing) {
  FakeDevice device;
  Daemon daemon(
      [&](const TaskGrant&, TaskSession& session) -> absl::StatusOr<TaskResult> {
        EXPECT_TRUE(session.PublishLayer(0, "bytes", {}).ok());
        device.Say({.condition = DeviceCondition::kHealthy, .faults = 1, .detail = "Xid 48"});
        const absl::Status status = session.PublishLayer(1, "bytes", {});
        EXPECT_TRUE(IsDeviceFault(status)) << status;
        return status;
      },
      1, {&device});
  daemon.coordinator.Grant(AGrant("A"));

  daemon.Start();
  daemon.coordinator.Await("fail A");

  EXPECT_TRUE(daemon.Drain().ok());
  EXPECT_THAT(daemon.coordinator.Calls(),
              ElementsAre("register", "publish A 0 (5 bytes)", StartsWith("fail A device")));
}

TEST(LeaseLoop, ASlotThatFailsItsTestAfterAFaultGetsNothingAndTheOthersGoOn) {
  FakeDevice sick;
  FakeDevice well;
  sick.FailTests(absl::InternalError("2 + 2 = 5"));
  Daemon* self = nullptr;
  Daemon daemon(
      [&](const TaskGrant& grant, TaskSession&) {
        if (grant.lease.task_id == "A") {
          self->coordinator.Await("poll", 2);  // for the other slot, because this one is busy
          sick.Say({.condition = DeviceCondition::kHealthy, .faults = 1});
        }
        return AResult();
      },
      2, {&sick, &well});
  self = &daemon;
  daemon.coordinator.Grant(AGrant("A"));

  daemon.Start();
  daemon.AwaitMetric("gptvq_worker_slot_usable{slot=\"gpu:0\"} 0");
  for (const char* task : {"B", "C"}) {
    daemon.coordinator.Grant(AGrant(task));
    daemon.coordinator.Await(std::string("complete ") + task);
  }

  EXPECT_TRUE(daemon.Drain().ok());
  EXPECT_THAT(daemon.coordinator.Calls(),
              ElementsAre("register", StartsWith("fail A device"), "complete B", "complete C"));
  EXPECT_THAT(daemon.MetricsText(), HasSubstr("gptvq_worker_slot_usable{slot=\"gpu:1\"} 1"));
}

TEST(LeaseLoop, SaysThatItIsThereWhileNoDeviceMayWork) {
  FakeDevice device({.condition = DeviceCondition::kReset});
  Daemon daemon([](const TaskGrant&, TaskSession&) { return AResult(); }, 1, {&device});

  daemon.Start();
  daemon.coordinator.Await("register");
  for (int beat = 0; beat < 2; ++beat) {
    daemon.clock.AwaitSleepers(2);  // the heartbeat and the watch of the devices
    daemon.clock.Advance(seconds(10));
  }
  daemon.coordinator.Await("register", 3);

  EXPECT_TRUE(daemon.Drain().ok());
  EXPECT_THAT(daemon.coordinator.CallsOf("poll"), ElementsAre());
}

TEST(LeaseLoop, ATaskGrantedToADeviceThatWentOutMeanwhileIsGivenBack) {
  FakeDevice device;
  Daemon daemon([](const TaskGrant&, TaskSession&) { return AResult(); }, 1, {&device});

  daemon.Start();
  daemon.coordinator.Await("poll");
  device.Say({.condition = DeviceCondition::kReset, .detail = "Xid 79"});
  daemon.clock.AwaitSleepers(2);
  daemon.clock.Advance(seconds(1));
  daemon.AwaitMetric("gptvq_worker_slot_usable{slot=\"gpu:0\"} 0");
  daemon.coordinator.Grant(AGrant("A"));
  daemon.coordinator.Await("release A");

  EXPECT_TRUE(daemon.Drain().ok());
  EXPECT_THAT(daemon.coordinator.Calls(), ElementsAre("register", "release A"));
}

}  // namespace
}  // namespace gptvq

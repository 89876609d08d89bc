// What the lease loop makes of the health of its devices.
#include "core/backend/device_lost.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/worker/daemon_fixture.h"

namespace gptvq {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(LeaseLoop, LostDeviceIsReportedAndEndsTheDaemon) {
  Daemon daemon(
      [](const TaskGrant&, TaskSession&) -> absl::StatusOr<TaskResult> { return DeviceLostError("illegal address"); });
  daemon.coordinator.Grant(AGrant("A"));
  daemon.Start();

  const absl::Status status = daemon.Join();

  EXPECT_TRUE(IsDeviceLost(status)) << status;
  EXPECT_THAT(daemon.coordinator.Calls(), ElementsAre("register", "fail A device: illegal address"));
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

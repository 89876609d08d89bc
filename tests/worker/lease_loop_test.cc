#include "worker/lease_loop.h"

#include <atomic>
#include <future>
#include <latch>
#include <stdexcept>
#include <thread>

#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/job/error_reason.h"
#include "tests/worker/daemon_fixture.h"
#include "worker/lost_artifacts.h"

namespace gptvq {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// Works until it is told to stop.
absl::StatusOr<TaskResult> WorkUntilStopped(TaskSession& session) {
  while (true) {
    const absl::Status status = session.ReportProgress(1, "q_proj", 0.5);
    if (!status.ok()) return status;
    std::this_thread::yield();
  }
}

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

}  // namespace
}  // namespace gptvq

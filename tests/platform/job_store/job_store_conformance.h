#ifndef GPTVQ_TESTS_PLATFORM_JOB_STORE_JOB_STORE_CONFORMANCE_H_
#define GPTVQ_TESTS_PLATFORM_JOB_STORE_JOB_STORE_CONFORMANCE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "platform/job_store/job_store.h"
#include "tests/server/scheduler/scheduler_harness.h"
#include "tests/support/postgres_server.h"

namespace gptvq {

// Where a store may keep what it stores.
struct StorePlace {
  std::string directory;
  PostgresServer& server;
  Clock& clock;
};

struct StoreKind {
  std::string name;
  std::function<std::unique_ptr<JobStore>(const StorePlace& place)> open;
};

// What every journal must do. The transitions come from the real scheduler.
class JobStoreConformance : public testing::TestWithParam<StoreKind> {
 protected:
  static void SetUpTestSuite() { server_ = new PostgresServer(); }
  static void TearDownTestSuite() { delete server_; }

  void SetUp() override {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::replace(name.begin(), name.end(), '/', '_');
    directory_ = testing::TempDir() + "/job_store_" + name;
    std::filesystem::remove_all(directory_);
    store_ = GetParam().open({directory_, *server_, clock_});
    ASSERT_NE(store_, nullptr);
    ASSERT_TRUE(store_->LoadActive().ok());  // as a coordinator does that wants to append
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  // Decides, journals, applies; fails the test when the journal refuses.
  Decision Do(const Event& event) {
    auto decision = harness_.scheduler.Decide(event, harness_.now);
    EXPECT_TRUE(decision.ok()) << decision.status();
    if (!decision->transition.empty()) {
      const absl::Status appended = store_->Append(decision->transition);
      EXPECT_TRUE(appended.ok()) << appended;
      last_transition_ = decision->transition;
    }
    harness_.scheduler.Apply(*decision);
    return *decision;
  }

  static SubmitJob Submission(const std::string& job_id, JobSpec spec = AJobSpec()) {
    SubmitJob event;
    const JobPlan plan = *PlanJob(spec, 4, job_id);
    event.job.job_id = job_id;
    event.job.request_id = "r-" + job_id;
    event.job.spec = spec;
    event.job.layer_count = 4;
    event.job.shard_layers = plan.shard_layers;
    event.tasks = plan.tasks;
    return event;
  }

  // A parallel job in the middle of its life: grants, a layer, a failure, a commit.
  void RunABit(const std::string& job_id) {
    JobSpec spec = AJobSpec();
    spec.propagation = PropagationMode::kParallel;
    spec.shard_layers = 2;
    Do(Submission(job_id, spec));
    const WorkerKey a = {"a", "inc-a"};
    const WorkerKey b = {"b", "inc-b"};
    Do(RegisterWorker{a, "cpu", "1", {}});
    Do(RegisterWorker{b, "cpu", "1", {}});
    Do(PollTask{a, "p1"});
    Do(PollTask{b, "p2"});
    const Lease capture = {job_id + "/capture-0", 1, "a", "inc-a", ""};
    const Lease quantize = {job_id + "/quantize-0", 1, "b", "inc-b", ""};
    Do(PublishLayer{quantize, {0, DigestOf("layer 0"), {ALinearReport("q"), ALinearReport("k")}}});
    Do(CheckpointTask{quantize, {1, 1, DigestOf("q of layer 1"), {ALinearReport("q")}}});
    Do(FailTask{quantize, {FailureClass::kTransient, "read timed out", "b"}});
    Do(CompleteTask{capture, {{{TaskPhase::kForward, 2.5}}, CaptureResult{DigestOf("boundary")}}});
  }

  static void ExpectEqual(const JobSnapshot& stored, const JobSnapshot& expected) {
    EXPECT_EQ(stored.description.job_id, expected.description.job_id);
    EXPECT_EQ(stored.description.sequence, expected.description.sequence);
    EXPECT_EQ(stored.description.request_id, expected.description.request_id);
    EXPECT_EQ(stored.description.spec, expected.description.spec);
    EXPECT_EQ(stored.description.layer_count, expected.description.layer_count);
    EXPECT_EQ(stored.description.shard_layers, expected.description.shard_layers);
    EXPECT_EQ(stored.description.task_count, expected.description.task_count);
    EXPECT_EQ(stored.description.create_time, expected.description.create_time);
    EXPECT_EQ(stored.status, expected.status);
    EXPECT_EQ(stored.layers, expected.layers);
    ASSERT_EQ(stored.tasks.size(), expected.tasks.size());
    for (std::size_t i = 0; i < expected.tasks.size(); ++i) {
      EXPECT_EQ(stored.tasks[i].description, expected.tasks[i].description) << i;
      EXPECT_EQ(stored.tasks[i].status, expected.tasks[i].status) << i;
    }
  }

  static inline PostgresServer* server_ = nullptr;

  SystemClock clock_;
  std::string directory_;
  std::unique_ptr<JobStore> store_;
  SchedulerHarness harness_;
  Transition last_transition_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_PLATFORM_JOB_STORE_JOB_STORE_CONFORMANCE_H_

// What every journal must do. The transitions come from the real scheduler.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>

#include "platform/job_store/memory_job_store.h"
#include "platform/job_store/postgres_job_store.h"
#include "platform/job_store/sqlite_job_store.h"
#include "platform/rpc/record_codec.h"
#include "tests/server/scheduler/scheduler_harness.h"
#include "tests/support/postgres_server.h"

namespace gptvq {
namespace {

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

TEST_P(JobStoreConformance, AnEmptyStoreHoldsNothing) {
  EXPECT_TRUE(store_->LoadActive()->active_jobs.empty());
  EXPECT_EQ(store_->LoadActive()->last_sequence, 0);
  EXPECT_EQ(store_->ReadJob("job-1").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(*store_->FindRequest("r"), std::nullopt);
  EXPECT_TRUE(store_->ReadLayers("job-1")->empty());
  EXPECT_TRUE(store_->ReadEvents("job-1", 0, 10)->empty());
  EXPECT_TRUE(store_->ListJobs({})->empty());
  EXPECT_EQ(store_->Secret()->size(), 32u);
}

TEST_P(JobStoreConformance, WhatWasAppendedIsWhatTheSchedulerHoldsInEveryField) {
  RunABit("job-1");

  const auto state = store_->LoadActive();

  ASSERT_TRUE(state.ok()) << state.status();
  ASSERT_EQ(state->active_jobs.size(), 1u);
  ExpectEqual(state->active_jobs[0], *harness_.scheduler.FindJob("job-1"));
  ExpectEqual(*store_->ReadJob("job-1"), *harness_.scheduler.FindJob("job-1"));
  EXPECT_EQ(*store_->FindRequest("r-job-1"), "job-1");
}

TEST_P(JobStoreConformance, RemembersWhatWasLostAndWhatItWas) {
  RunABit("job-1");
  const Lease quantize = {"job-1/quantize-1", 1, "a", "inc-a", ""};
  Do(PollTask{{"a", "inc-a"}, "p3"});
  Do(FailTask{quantize, {FailureClass::kTransient, "gone", "a"}, {DigestOf("boundary")}});

  const auto stored = store_->ReadJob("job-1");

  ASSERT_TRUE(stored.ok()) << stored.status();
  ExpectEqual(*stored, *harness_.scheduler.FindJob("job-1"));
  const TaskStatus& maker = stored->tasks[0].status;
  EXPECT_EQ(maker.state, TaskState::kReady);
  EXPECT_EQ(OutputBoundary(*maker.result), DigestOf("boundary"));
  EXPECT_EQ(stored->tasks[2].status.repair, (RepairStatus{{}, 1}));
}

TEST_P(JobStoreConformance, KeepsWhatAuditsCameToAndForgetsLayersThatTheyOverturn) {
  RunABit("job-1");
  const JobSnapshot& job = *harness_.scheduler.FindJob("job-1");
  ASSERT_EQ(store_->ReadLayers("job-1")->size(), 1u);
  TaskStatus status = job.tasks[2].status;
  ++status.revision;
  status.audit = {{{0, "a"}, {1, "b"}},
                  2,
                  true,
                  {DigestOf("x")},
                  {{"c", {DigestOf("y"), DigestOf("z")}, DigestOf("w")}, {"d", {}, {}}},
                  AuditOutcome::kOverturned};
  Transition change;
  change.job_id = "job-1";
  change.tasks = {{2, status}};
  change.overturned_layers = {0};
  WorkerRecord record = harness_.scheduler.standings().at("b").record;
  ++record.revision;
  record.distrusted = true;
  change.workers = {record};

  ASSERT_TRUE(store_->Append(change).ok());

  EXPECT_EQ(store_->ReadJob("job-1")->tasks[2].status, status);
  EXPECT_EQ(store_->ReadJob("job-1")->layers[0], Digest());
  EXPECT_TRUE(store_->ReadLayers("job-1")->empty());
  EXPECT_EQ(store_->LoadActive()->workers[0], record);
}

TEST_P(JobStoreConformance, KeepsWhatIsRememberedOfWorkersUntilNothingIs) {
  RunABit("job-1");  // worker b failed a task
  const auto& standings = harness_.scheduler.standings();
  ASSERT_EQ(standings.size(), 1u);
  ASSERT_EQ(store_->LoadActive()->workers.size(), 1u);
  EXPECT_EQ(store_->LoadActive()->workers[0], standings.at("b").record);

  Transition change;
  change.workers = {standings.at("b").record};
  WorkerRecord& record = change.workers[0];
  ++record.revision;
  record.trust = WorkerTrust::kQuarantined;
  record.quarantine_count = 3;
  record.quarantine_end = WallTime(std::chrono::hours(7));
  record.reason = "it fails";
  EXPECT_TRUE(store_->Append(change).ok());
  EXPECT_EQ(store_->LoadActive()->workers[0], record);
  EXPECT_EQ(store_->Append(change).code(), absl::StatusCode::kAborted) << "not over its previous revision";

  const std::int64_t revision = record.revision + 1;
  record = {};
  record.name = "b";
  record.revision = revision;
  EXPECT_TRUE(store_->Append(change).ok());
  EXPECT_TRUE(store_->LoadActive()->workers.empty());
}

TEST_P(JobStoreConformance, LayersKeepTheirReports) {
  RunABit("job-1");

  const auto layers = store_->ReadLayers("job-1");

  ASSERT_TRUE(layers.ok()) << layers.status();
  ASSERT_EQ(layers->size(), 1u);
  EXPECT_EQ(EncodePublishedLayer((*layers)[0]),
            EncodePublishedLayer({0, DigestOf("layer 0"), {ALinearReport("q"), ALinearReport("k")}}));
}

TEST_P(JobStoreConformance, EventsComeInOrderFromAnyPlaceAndNoMoreThanAsked) {
  RunABit("job-1");
  const std::int64_t last = harness_.scheduler.FindJob("job-1")->status.last_event_seq;
  ASSERT_GT(last, 4);

  const auto all = store_->ReadEvents("job-1", 0, 1000);
  const auto some = store_->ReadEvents("job-1", 2, 2);
  const auto none = store_->ReadEvents("job-1", last, 10);

  ASSERT_EQ(all->size(), static_cast<std::size_t>(last));
  for (std::size_t i = 0; i < all->size(); ++i) EXPECT_EQ((*all)[i].seq, static_cast<std::int64_t>(i) + 1);
  ASSERT_EQ(some->size(), 2u);
  EXPECT_EQ((*some)[0], (*all)[2]);
  EXPECT_TRUE(none->empty());
}

TEST_P(JobStoreConformance, StepsThatComeTogetherAreStoredInOrderEachOverTheOneBefore) {
  std::vector<Transition> steps;
  const auto decide = [&](const Event& event) {
    const auto decision = harness_.scheduler.Decide(event, harness_.now);
    ASSERT_TRUE(decision.ok()) << decision.status();
    harness_.scheduler.Apply(*decision);
    if (!decision->transition.empty()) steps.push_back(decision->transition);
  };
  decide(Submission("job-1"));
  decide(Submission("job-2"));
  decide(RegisterWorker{{"a", "inc-a"}, "cpu", "1", {}});
  decide(PollTask{{"a", "inc-a"}, "p1"});
  const Lease lease = {"job-1/quantize-0", 1, "a", "inc-a", ""};
  decide(PublishLayer{lease, {0, DigestOf("layer 0"), {}}});
  decide(FailTask{lease, {FailureClass::kTransient, "read timed out", "a"}});
  decide(CancelJob{"job-2"});
  std::vector<const Transition*> together;
  for (const Transition& step : steps) together.push_back(&step);

  const absl::Status appended = store_->AppendAll(together);

  ASSERT_TRUE(appended.ok()) << appended;
  ExpectEqual(*store_->ReadJob("job-1"), *harness_.scheduler.FindJob("job-1"));
  ExpectEqual(*store_->ReadJob("job-2"), *harness_.scheduler.FindJob("job-2"));
  EXPECT_EQ(store_->ReadLayers("job-1")->size(), 1u);
  EXPECT_EQ(store_->ReadEvents("job-1", 0, 1000)->size(),
            static_cast<std::size_t>(harness_.scheduler.FindJob("job-1")->status.last_event_seq));
}

TEST_P(JobStoreConformance, OfStepsThatComeTogetherNothingIsStoredWhenOneIsRefused) {
  RunABit("job-1");
  const JobSnapshot before = *store_->ReadJob("job-1");
  const auto creation = harness_.scheduler.Decide(Submission("job-2"), harness_.now);
  const auto end = harness_.scheduler.Decide(CancelJob{"job-1"}, harness_.now);

  const std::vector<const Transition*> together = {&creation->transition, &end->transition, &last_transition_};
  EXPECT_EQ(store_->AppendAll(together).code(), absl::StatusCode::kAborted);

  ExpectEqual(*store_->ReadJob("job-1"), before);
  EXPECT_EQ(store_->ReadJob("job-2").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(*store_->FindRequest("r-job-2"), std::nullopt);
  EXPECT_EQ(store_->LoadActive()->last_sequence, 1);
}

TEST_P(JobStoreConformance, AnOutdatedWriterIsRefusedAndChangesNothing) {
  RunABit("job-1");
  const JobSnapshot before = *store_->ReadJob("job-1");

  EXPECT_EQ(store_->Append(last_transition_).code(), absl::StatusCode::kAborted);  // the same once more
  Transition half_outdated = last_transition_;  // the job row fits, a task row does not
  half_outdated.job->revision = before.status.revision + 1;
  EXPECT_EQ(store_->Append(half_outdated).code(), absl::StatusCode::kAborted);

  ExpectEqual(*store_->ReadJob("job-1"), before);
  EXPECT_EQ(store_->ReadEvents("job-1", 0, 1000)->size(), static_cast<std::size_t>(before.status.last_event_seq));
}

TEST_P(JobStoreConformance, AJobOrRequestThatExistsIsRefused) {
  const Decision decision = Do(Submission("job-1"));
  Transition same_request = decision.transition;
  same_request.job_id = "job-2";
  same_request.created->description.job_id = "job-2";
  same_request.created->description.sequence = 2;

  EXPECT_EQ(store_->Append(decision.transition).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(store_->Append(same_request).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(store_->ListJobs({})->size(), 1u);
}

TEST_P(JobStoreConformance, AChangeOfAnUnknownJobIsRefused) {
  Transition transition;
  transition.job_id = "job-9";
  transition.job = JobStatus();

  EXPECT_EQ(store_->Append(transition).code(), absl::StatusCode::kNotFound);
}

TEST_P(JobStoreConformance, EndedJobsAreReadableButNotActive) {
  Do(Submission("job-1"));
  Do(Submission("job-2"));
  Do(CancelJob{"job-1"});

  const auto state = store_->LoadActive();

  ASSERT_EQ(state->active_jobs.size(), 1u);
  EXPECT_EQ(state->active_jobs[0].description.job_id, "job-2");
  EXPECT_EQ(state->last_sequence, 2);
  EXPECT_EQ(store_->ReadJob("job-1")->status.state, JobState::kCancelled);
}

TEST_P(JobStoreConformance, ListsAreNewestFirstAndCanBeFilteredAndPaged) {
  for (int i = 1; i <= 5; ++i) Do(Submission("job-" + std::to_string(i)));
  Do(CancelJob{"job-2"});
  Do(CancelJob{"job-4"});
  const auto ids = [&](const JobStore::Query& query) {
    const std::vector<JobSnapshot> jobs = store_->ListJobs(query).value();
    std::vector<std::string> result;
    for (const JobSnapshot& job : jobs) {
      EXPECT_TRUE(job.tasks.empty());
      result.push_back(job.description.job_id);
    }
    return result;
  };
  using Ids = std::vector<std::string>;

  EXPECT_EQ(ids({.states = {}, .before_sequence = {}, .limit = 50}),
            (Ids{"job-5", "job-4", "job-3", "job-2", "job-1"}));
  EXPECT_EQ(ids({.states = {}, .before_sequence = 4, .limit = 2}), (Ids{"job-3", "job-2"}));
  EXPECT_EQ(ids({.states = {JobState::kCancelled}, .before_sequence = {}, .limit = 50}), (Ids{"job-4", "job-2"}));
  EXPECT_EQ(ids({.states = {JobState::kCancelled, JobState::kPending}, .before_sequence = 3, .limit = 50}),
            (Ids{"job-2", "job-1"}));
}

TEST_P(JobStoreConformance, AnOwnerIsKeptAndCanBeFilteredBy) {
  for (const auto& [job_id, owner] : {std::pair("job-1", "client/alice"), std::pair("job-2", "client/bob"),
                                      std::pair("job-3", "client/alice"), std::pair("job-4", "")}) {
    SubmitJob event = Submission(job_id);
    event.job.owner = owner;
    Do(event);
  }
  const auto ids = [&](const std::string& owner) {
    std::string result;
    const JobStore::Query query = {.states = {}, .before_sequence = {}, .owner = owner, .limit = 50};
    const std::vector<JobSnapshot> jobs = store_->ListJobs(query).value();
    for (const JobSnapshot& job : jobs) {
      EXPECT_EQ(job.description.owner, owner);
      result += job.description.job_id + " ";
    }
    return result;
  };

  EXPECT_EQ(ids("client/alice"), "job-3 job-1 ");
  EXPECT_EQ(ids("client/bob"), "job-2 ");
  EXPECT_EQ(ids(""), "job-4 ");
  EXPECT_EQ(ids("client/%"), "");
  EXPECT_EQ(store_->ReadJob("job-2")->description.owner, "client/bob");
}

TEST_P(JobStoreConformance, AGenerationIsGreaterThanTheLastAndThanWhatItIsToFollow) {
  EXPECT_EQ(store_->LoadActive()->generation, 0);
  EXPECT_EQ(store_->LoadActive()->generation, 0);

  ASSERT_TRUE(store_->BeginGeneration(0).ok());
  const std::int64_t first = store_->LoadActive()->generation;
  ASSERT_TRUE(store_->BeginGeneration(first + 1'000'000).ok());
  const std::int64_t second = store_->LoadActive()->generation;
  ASSERT_TRUE(store_->BeginGeneration(first).ok());

  EXPECT_GT(first, 0);
  EXPECT_GT(second, first + 1'000'000);
  EXPECT_GT(store_->LoadActive()->generation, second);
}

TEST_P(JobStoreConformance, DoomedArtifactsAreKeptInEveryFieldUntilTheyAreForgotten) {
  const WallTime since = WallTime(std::chrono::microseconds(1'234'567));
  const DoomedArtifact layer = {DigestOf("layer"), ArtifactKind::kLayer, DoomState::kDoomed, since};
  const DoomedArtifact boundary = {DigestOf("boundary"), ArtifactKind::kBoundary, DoomState::kDoomed, since};
  const DoomedArtifact unknown = {DigestOf("unknown"), ArtifactKind::kUnknown, DoomState::kDoomed, since};
  const auto step = [&](DoomStep doom_step, const DoomedArtifact& row) {
    Transition transition;
    transition.artifacts = {{doom_step, row}};
    return store_->Append(transition);
  };
  Do(Submission("job-1"));
  Transition cancellation = harness_.scheduler.Decide(CancelJob{"job-1"}, harness_.now)->transition;
  cancellation.artifacts = {{DoomStep::kDoom, layer}, {DoomStep::kDoom, boundary}};
  ASSERT_TRUE(store_->Append(cancellation).ok());
  ASSERT_TRUE(step(DoomStep::kDoom, unknown).ok());

  EXPECT_EQ(store_->LoadActive()->doomed_artifacts.size(), 3u);
  ASSERT_TRUE(step(DoomStep::kSpare, unknown).ok());
  ASSERT_TRUE(step(DoomStep::kBeginDelete, boundary).ok());

  DoomedArtifact deleting = boundary;
  deleting.state = DoomState::kDeleting;
  EXPECT_THAT(store_->LoadActive()->doomed_artifacts, testing::UnorderedElementsAre(layer, deleting));
  ASSERT_TRUE(step(DoomStep::kForget, boundary).ok());
  EXPECT_THAT(store_->LoadActive()->doomed_artifacts, testing::ElementsAre(layer));
}

TEST_P(JobStoreConformance, AStepOfAnArtifactThatIsNotInTheStateBeforeItIsRefusedWithEverythingElse) {
  const DoomedArtifact row = {DigestOf("a"), ArtifactKind::kLayer, DoomState::kDoomed, WallTime()};
  const DoomedArtifact other = {DigestOf("b"), ArtifactKind::kLayer, DoomState::kDoomed, WallTime()};
  const auto append = [&](std::vector<DoomChange> changes) {
    Transition transition;
    transition.artifacts = std::move(changes);
    return store_->Append(transition).code();
  };
  using Code = absl::StatusCode;

  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kSpare, row}}), Code::kAborted);
  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kBeginDelete, row}}), Code::kAborted);
  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kForget, row}}), Code::kAborted);
  ASSERT_EQ(append({{DoomStep::kDoom, row}}), Code::kOk);
  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kDoom, row}}), Code::kAlreadyExists);
  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kForget, row}}), Code::kAborted);
  ASSERT_EQ(append({{DoomStep::kBeginDelete, row}}), Code::kOk);
  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kSpare, row}}), Code::kAborted);
  EXPECT_EQ(append({{DoomStep::kDoom, other}, {DoomStep::kBeginDelete, row}}), Code::kAborted);
  EXPECT_EQ(store_->LoadActive()->doomed_artifacts.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(
    Stores, JobStoreConformance,
    testing::Values(StoreKind{"Memory", [](const StorePlace&) { return std::make_unique<MemoryJobStore>(); }},
                    StoreKind{"Sqlite",
                              [](const StorePlace& place) -> std::unique_ptr<JobStore> {
                                auto store = SqliteJobStore::Open(place.directory);
                                EXPECT_TRUE(store.ok()) << store.status();
                                return store.ok() ? *std::move(store) : nullptr;
                              }},
                    StoreKind{"Postgres",
                              [](const StorePlace& place) -> std::unique_ptr<JobStore> {
                                PostgresJobStore::Options options;
                                options.leader.uri = place.server.MakeDatabase("journal");
                                auto store = PostgresJobStore::Open(options, place.clock);
                                EXPECT_TRUE(store.ok()) << store.status();
                                return store.ok() ? *std::move(store) : nullptr;
                              }}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptvq

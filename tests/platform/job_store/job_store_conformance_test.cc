// What a journal keeps of all that it was told, and how it is read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "platform/job_store/memory_job_store.h"
#include "platform/job_store/postgres_job_store.h"
#include "platform/job_store/sqlite_job_store.h"
#include "platform/rpc/record_codec.h"
#include "tests/platform/job_store/job_store_conformance.h"

namespace gptvq {
namespace {

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

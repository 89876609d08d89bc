#include "server/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "platform/job/error_reason.h"
#include "platform/job_store/memory_job_store.h"
#include "platform/job_store/sqlite_job_store.h"
#include "server/planner.h"
#include "tests/support/job_builders.h"
#include "tests/support/shared_job_store.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {
namespace {

const Instant kNow = {MonotonicTime(std::chrono::hours(1)), WallTime(std::chrono::hours(1))};
const WorkerKey kWorker = {"a", "1"};

SubmitJob ASubmission(const std::string& job_id, const JobSpec& spec = AJobSpec()) {
  SubmitJob event;
  event.job.job_id = job_id;
  event.job.request_id = "r-" + job_id;
  event.job.spec = spec;
  event.job.layer_count = 2;
  event.tasks = PlanJob(spec, 2, job_id)->tasks;
  return event;
}

// Fails the next calls as told; everything else goes to the store in memory.
class StubbornJobStore final : public JobStore {
 public:
  enum class Mood { kWorks, kRefuses, kStoresAndDeniesIt, kUnreadable };

  absl::Status AppendAll(absl::Span<const Transition* const> transitions) override {
    appended_at_once.push_back(transitions.size());
    if (mood == Mood::kRefuses) return absl::UnavailableError("disk away");
    const absl::Status status = store.AppendAll(transitions);
    return mood == Mood::kStoresAndDeniesIt ? absl::UnavailableError("answer lost") : status;
  }
  absl::Status BeginGeneration(std::int64_t after) override { return store.BeginGeneration(after); }
  absl::StatusOr<State> LoadActive() override {
    if (mood == Mood::kUnreadable) return absl::UnavailableError("disk away");
    return store.LoadActive();
  }
  absl::StatusOr<JobSnapshot> ReadJob(std::string_view id) override { return store.ReadJob(id); }
  absl::StatusOr<std::optional<std::string>> FindRequest(std::string_view id) override {
    if (mood == Mood::kUnreadable) return absl::UnavailableError("disk away");
    return store.FindRequest(id);
  }
  absl::StatusOr<std::vector<PublishedLayer>> ReadLayers(std::string_view id) override { return store.ReadLayers(id); }
  absl::StatusOr<std::vector<JobEvent>> ReadEvents(std::string_view id, std::int64_t after, int limit) override {
    return store.ReadEvents(id, after, limit);
  }
  absl::StatusOr<std::vector<JobSnapshot>> ListJobs(const Query& query) override { return store.ListJobs(query); }
  absl::StatusOr<std::string> Secret() override { return store.Secret(); }

  Mood mood = Mood::kWorks;
  std::vector<std::size_t> appended_at_once;  // transitions, of each call
  MemoryJobStore store;
};

using Mood = StubbornJobStore::Mood;

// Events that come together.
std::vector<absl::StatusOr<Decision>> RecordTogether(Ledger& ledger, const std::vector<Event>& events) {
  std::vector<Proposal> proposals;
  std::vector<Proposal*> batch;
  proposals.reserve(events.size());
  for (const Event& event : events) batch.push_back(&proposals.emplace_back(Proposal{event}));
  ledger.RecordAll(batch, kNow);
  std::vector<absl::StatusOr<Decision>> answers;
  for (Proposal& proposal : proposals) answers.push_back(std::move(proposal.answer));
  return answers;
}

TEST(Ledger, EventsThatComeTogetherAreDecidedInOrderAndJournaledAtOnce) {
  StubbornJobStore store;
  Ledger ledger(store, {});
  ASSERT_TRUE(ledger.Record(ASubmission("job-1"), kNow).ok());
  ASSERT_TRUE(ledger.Record(RegisterWorker{kWorker, "cpu", "1", {}}, kNow).ok());
  ASSERT_TRUE(ledger.Record(PollTask{kWorker, "p"}, kNow).ok());
  const Lease lease = {"job-1/quantize-0", 1, "a", "1", ""};
  store.appended_at_once.clear();

  const auto answers =
      RecordTogether(ledger, {PublishLayer{lease, {0, DigestOf("0"), {}}}, PublishLayer{lease, {0, DigestOf("0"), {}}},
                              PublishLayer{lease, {1, DigestOf("1"), {}}}, RenewLease{lease, {}},
                              CompleteTask{lease, {{}, QuantizeResult{}}}, FailTask{lease, {}}});

  EXPECT_THAT(store.appended_at_once, testing::ElementsAre(3));
  EXPECT_EQ(answers[0]->outcome, Outcome::kDone);
  EXPECT_EQ(answers[1]->outcome, Outcome::kRepeated);
  EXPECT_EQ(answers[2]->outcome, Outcome::kDone);
  EXPECT_TRUE(answers[3].ok());
  EXPECT_EQ(answers[4]->outcome, Outcome::kDone);
  EXPECT_FALSE(answers[5].ok()) << "the task was committed before";
  EXPECT_EQ(store.store.ReadJob("job-1")->status.published_layers, 2);
}

TEST(Ledger, OfABatchThatTheJournalRefusedNothingHappenedAndNobodyIsToldOtherwise) {
  for (Mood mood : {Mood::kRefuses, Mood::kStoresAndDeniesIt}) {
    StubbornJobStore store;
    Ledger ledger(store, {});
    ASSERT_TRUE(ledger.Record(ASubmission("job-1"), kNow).ok());
    ASSERT_TRUE(ledger.Record(RegisterWorker{kWorker, "cpu", "1", {}}, kNow).ok());
    store.mood = mood;

    const auto answers = RecordTogether(ledger, {PollTask{kWorker, "p"}, PollTask{kWorker, "p"}, PollTask{kWorker, "q"},
                                                 CancelJob{"job-1"}, PollTask{kWorker, "r"}});

    for (const auto& answer : answers) EXPECT_EQ(ReasonOf(answer.status()), ErrorReason::kJournalUnavailable);
    EXPECT_FALSE(ledger.CheckInStep().ok());
    EXPECT_EQ(ledger.scheduler().FindJob("job-1"), nullptr) << "memory of what may not have happened";
    store.mood = Mood::kWorks;
    const auto repeated = RecordTogether(ledger, {PollTask{kWorker, "p"}, CancelJob{"job-1"}});
    if (mood == Mood::kRefuses) {
      EXPECT_EQ(repeated[0]->outcome, Outcome::kDone);
      EXPECT_EQ(repeated[1]->outcome, Outcome::kDone);
    } else {
      EXPECT_FALSE(repeated[0].ok() && repeated[0]->outcome == Outcome::kDone) << "the job was cancelled";
      EXPECT_EQ(repeated[1]->outcome, Outcome::kRepeated);
    }
  }
}

TEST(Ledger, WhatWasDecidedIsDurableBeforeTheStoreIsAskedAboutAJobThatEnded) {
  StubbornJobStore store;
  SchedulerOptions options;
  options.retained_jobs = 0;
  Ledger ledger(store, options);

  const auto answers =
      RecordTogether(ledger, {ASubmission("job-1"), CancelJob{"job-1"}, ASubmission("job-1"), CancelJob{"job-1"}});

  EXPECT_THAT(store.appended_at_once, testing::ElementsAre(2));
  EXPECT_EQ(answers[0]->outcome, Outcome::kDone);
  EXPECT_EQ(answers[1]->outcome, Outcome::kDone);
  EXPECT_EQ(answers[2]->outcome, Outcome::kRepeated);
  EXPECT_EQ(answers[3]->outcome, Outcome::kRepeated);
}

TEST(Ledger, AnEventThatTheJournalRefusedDidNotHappen) {
  StubbornJobStore store;
  Ledger ledger(store, {});
  ASSERT_TRUE(ledger.Load(kNow).ok());
  store.mood = Mood::kRefuses;

  const auto refused = ledger.Record(ASubmission("job-1"), kNow);

  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kJournalUnavailable);
  EXPECT_EQ(ledger.scheduler().FindJob("job-1"), nullptr);
  store.mood = Mood::kWorks;
  EXPECT_EQ(ledger.Record(ASubmission("job-1"), kNow)->outcome, Outcome::kDone);
}

TEST(Ledger, AnEventThatTheJournalStoredButDeniedIsFoundDoneByTheRepetition) {
  StubbornJobStore store;
  Ledger ledger(store, {});
  ASSERT_TRUE(ledger.Record(ASubmission("job-1"), kNow).ok());
  ASSERT_TRUE(ledger.Record(RegisterWorker{kWorker, "cpu", "1", {}}, kNow).ok());
  const auto grant = ledger.Record(PollTask{kWorker, "p"}, kNow);
  const Lease lease = {grant->task_id, 1, "a", "1", ""};
  const PublishLayer publish = {lease, {0, DigestOf("0"), {}}};
  store.mood = Mood::kStoresAndDeniesIt;
  EXPECT_EQ(ReasonOf(ledger.Record(publish, kNow).status()), ErrorReason::kJournalUnavailable);
  store.mood = Mood::kWorks;

  const auto again = ledger.Record(publish, kNow);

  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->outcome, Outcome::kRepeated);
  EXPECT_TRUE(ledger.Record(PublishLayer{lease, {1, DigestOf("1"), {}}}, kNow).ok());
}

TEST(Ledger, AsLongAsTheJournalCannotBeReadNothingIsDecided) {
  StubbornJobStore store;
  Ledger ledger(store, {});
  ASSERT_TRUE(ledger.Record(ASubmission("job-1"), kNow).ok());
  store.mood = Mood::kRefuses;
  EXPECT_FALSE(ledger.Record(CancelJob{"job-1"}, kNow).ok());
  store.mood = Mood::kUnreadable;
  EXPECT_EQ(ReasonOf(ledger.Record(CancelJob{"job-1"}, kNow).status()), ErrorReason::kJournalUnavailable);
  EXPECT_EQ(ReasonOf(ledger.Record(Tick{}, kNow).status()), ErrorReason::kJournalUnavailable);
  store.mood = Mood::kWorks;

  EXPECT_TRUE(ledger.Record(CancelJob{"job-1"}, kNow).ok());
}

TEST(Ledger, ALeaseThatTheJournalHasForgottenBeginsAGenerationInWhichNothingIsGrantedTwice) {
  MemoryJobStore store;
  Ledger ledger(store, {});
  ASSERT_TRUE(ledger.Record(ASubmission("job-1"), kNow).ok());
  ASSERT_TRUE(ledger.Record(RegisterWorker{kWorker, "cpu", "1", {}}, kNow).ok());
  const auto grant = ledger.Record(PollTask{kWorker, "p"}, kNow);
  const Lease forgotten = {grant->task_id, 7, "b", "1", ""};

  EXPECT_EQ(ReasonOf(ledger.Record(RenewLease{forgotten, {}}, kNow).status()), ErrorReason::kRollbackSuspected);
  EXPECT_EQ(ReasonOf(ledger.Record(RenewLease{forgotten, {}}, kNow).status()), ErrorReason::kStaleEpoch);

  EXPECT_GT(store.LoadActive()->generation, 0);
  const Lease held = {grant->task_id, 1, "a", "1", ""};
  ASSERT_TRUE(ledger.Record(ReleaseTask{held}, kNow).ok()) << "who holds it still does";
  ASSERT_TRUE(ledger.Record(PollTask{kWorker, "q"}, kNow).ok());
  EXPECT_EQ(ledger.scheduler().FindTask(grant->task_id)->task->status.epoch,
            (store.LoadActive()->generation << 32) + 1);
}

TEST(Ledger, AnyQuestionUnderAForgottenLeaseBeginsAGenerationThatIsGreaterThanThatOfTheLease) {
  MemoryJobStore store;
  Ledger ledger(store, {});
  ASSERT_TRUE(ledger.Record(ASubmission("job-1"), kNow).ok());
  ASSERT_TRUE(ledger.Record(RegisterWorker{kWorker, "cpu", "1", {}}, kNow).ok());
  const auto grant = ledger.Record(PollTask{kWorker, "p"}, kNow);
  Lease forgotten = {grant->task_id, (std::int64_t{500} << 32) + 3, "b", "1", ""};

  EXPECT_EQ(ReasonOf(ledger.CheckHolder(forgotten, kNow)), ErrorReason::kRollbackSuspected);
  const std::int64_t first = store.LoadActive()->generation;
  forgotten.epoch += std::int64_t{1000} << 32;
  EXPECT_EQ(ReasonOf(ledger.WasRecorded(CompleteTask{forgotten, {}}, kNow).status()), ErrorReason::kRollbackSuspected);
  const std::int64_t second = store.LoadActive()->generation;
  EXPECT_EQ(ReasonOf(ledger.CheckHolder(forgotten, kNow)), ErrorReason::kStaleEpoch);

  EXPECT_GT(first, 500);
  EXPECT_GT(second, 1500);
  EXPECT_EQ(store.LoadActive()->generation, second);
}

TEST(Ledger, OneThatStandsByDecidesNothingAndForgetsWhatTheOtherNowChanges) {
  MemoryJobStore journal;
  SharedJobStore store(journal);
  Ledger ledger(store, {});
  ASSERT_TRUE(ledger.Record(ASubmission("job-1"), kNow).ok());
  store.SetMayLead(false);

  EXPECT_EQ(ReasonOf(ledger.Record(Tick{}, kNow).status()), ErrorReason::kNotLeading);
  EXPECT_EQ(ReasonOf(ledger.Record(ASubmission("job-2"), kNow).status()), ErrorReason::kNotLeading);
  EXPECT_EQ(ReasonOf(ledger.CheckInStep()), ErrorReason::kNotLeading);
  EXPECT_EQ(ledger.scheduler().FindJob("job-1"), nullptr);
}

TEST(Ledger, WhoTakesOverGoesOnWhereTheOtherEndedAndTheOtherIsRefused) {
  MemoryJobStore journal;
  SharedJobStore one(journal), other(journal);
  Ledger first(one, {}), second(other, {});
  other.SetMayLead(false);
  ASSERT_TRUE(first.Record(ASubmission("job-1"), kNow).ok());
  ASSERT_FALSE(second.Record(Tick{}, kNow).ok());
  one.SetMayLead(false);
  other.SetMayLead(true);

  EXPECT_TRUE(second.Record(CancelJob{"job-1"}, kNow).ok());
  EXPECT_EQ(ReasonOf(first.Record(ASubmission("job-2"), kNow).status()), ErrorReason::kNotLeading);
  EXPECT_EQ(second.Record(ASubmission("job-2"), kNow)->outcome, Outcome::kDone);
}

TEST(Ledger, AJobThatEndedLongAgoIsStillKnownByItsRequest) {
  MemoryJobStore store;
  SchedulerOptions options;
  options.retained_jobs = 0;
  Ledger ledger(store, options);
  ASSERT_TRUE(ledger.Record(ASubmission("job-1"), kNow).ok());
  ASSERT_TRUE(ledger.Record(CancelJob{"job-1"}, kNow).ok());
  ASSERT_EQ(ledger.scheduler().FindJob("job-1"), nullptr);
  JobSpec other = AJobSpec();
  other.seed += 1;

  EXPECT_EQ(ledger.Record(ASubmission("job-1"), kNow)->outcome, Outcome::kRepeated);
  EXPECT_EQ(ReasonOf(ledger.Record(ASubmission("job-1", other), kNow).status()), ErrorReason::kIdempotencyMismatch);
  EXPECT_EQ(ledger.Record(CancelJob{"job-1"}, kNow)->outcome, Outcome::kRepeated);
  EXPECT_EQ(ReasonOf(ledger.Record(CancelJob{"job-2"}, kNow).status()), ErrorReason::kJobUnknown);
}

// On a real file: everything survives, epochs go on rising, and the job ends.
TEST(Ledger, GoesOnAfterEveryRestartOnSqlite) {
  const TemporaryDirectory directory;
  std::int64_t last_epoch = 0;
  for (int restart = 0; restart < 6; ++restart) {
    auto store = SqliteJobStore::Open(directory.path());
    ASSERT_TRUE(store.ok()) << store.status();
    Ledger ledger(**store, {});
    ASSERT_TRUE(ledger.Load(kNow).ok());
    if (restart == 0) {
      ASSERT_TRUE(ledger.Record(ASubmission("job-1"), kNow).ok());
    }
    const WorkerKey worker = {"a", std::to_string(restart)};
    ASSERT_TRUE(ledger.Record(RegisterWorker{worker, "cpu", "1", {}}, kNow).ok());
    Instant later = kNow;
    later.monotonic += std::chrono::minutes(1);
    ASSERT_TRUE(ledger.Record(Tick{}, later).ok());  // the lease of the process before expires
    const auto grant = ledger.Record(PollTask{worker, "p"}, later);
    ASSERT_TRUE(grant.ok()) << grant.status();
    const auto found = ledger.scheduler().FindTask(grant->task_id);
    const Lease lease = {grant->task_id, found->task->status.epoch, worker.name, worker.incarnation, ""};
    if (grant->task_id != "job-1/quantize-0") continue;
    EXPECT_EQ(lease.epoch, ++last_epoch);
    if (restart == 1) {
      ASSERT_TRUE(ledger.Record(PublishLayer{lease, {0, DigestOf("0"), {}}}, later).ok());
    }
    if (restart == 3) {
      ASSERT_TRUE(ledger.Record(PublishLayer{lease, {1, DigestOf("1"), {}}}, later).ok());
      ASSERT_TRUE(ledger.Record(CompleteTask{lease, {{}, QuantizeResult{}}}, later).ok());
    }
  }

  const auto store = SqliteJobStore::Open(directory.path());
  const auto job = (*store)->ReadJob("job-1");
  EXPECT_EQ(last_epoch, 4);
  EXPECT_EQ(job->status.state, JobState::kFinalizing);
  EXPECT_EQ(job->status.published_layers, 2);
  EXPECT_EQ(job->tasks[0].status.epoch, 4);
}

}  // namespace
}  // namespace gptvq

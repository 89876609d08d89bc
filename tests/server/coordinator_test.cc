#include "server/coordinator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include "platform/job/error_reason.h"
#include "platform/job_store/memory_job_store.h"
#include "server/grant.h"
#include "server/planner.h"
#include "server/seal.h"
#include "tests/support/job_builders.h"
#include "tests/support/shared_job_store.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

SubmitJob ASubmission(const std::string& job_id) {
  SubmitJob event;
  event.job.job_id = job_id;
  event.job.request_id = "r-" + job_id;
  event.job.spec = AJobSpec();
  event.job.layer_count = 2;
  event.tasks = PlanJob(event.job.spec, 2, job_id)->tasks;
  return event;
}

// Polls wait in real time, so these tests run on the system's clock; they wait for events, not for time.
class CoordinatorTest : public testing::Test {
 protected:
  void StartWith(const CoordinatorOptions& options) {
    coordinator_ = std::make_unique<Coordinator>(store_, clock_, metrics_, options);
    ASSERT_TRUE(coordinator_->Start([](const absl::Status&) {}).ok());
    ASSERT_TRUE(coordinator_->Record(RegisterWorker{worker_, "cpu", "1", {}}).ok());
  }

  absl::StatusOr<Decision> Poll(const std::string& poll_id, milliseconds wait) {
    return coordinator_->Poll({worker_, poll_id}, wait, [] { return false; });
  }

  MemoryJobStore store_;
  SystemClock clock_;
  MetricsRegistry registry_{"coordinator"};
  CoordinatorMetrics metrics_{registry_};
  const WorkerKey worker_ = {"a", "1"};
  std::unique_ptr<Coordinator> coordinator_;
};

TEST_F(CoordinatorTest, AWaitingPollGetsTheTaskAsSoonAsThereIsOne) {
  StartWith({});
  auto polled = std::async(std::launch::async, [&] { return Poll("p", seconds(10)); });

  ASSERT_TRUE(coordinator_->Record(ASubmission("job-1")).ok());

  const auto decision = polled.get();
  ASSERT_TRUE(decision.ok()) << decision.status();
  EXPECT_EQ(decision->task_id, "job-1/quantize-0");
}

TEST_F(CoordinatorTest, APollWithoutWorkReturnsAfterItsWaitAndNoLaterThanTheCap) {
  CoordinatorOptions options;
  options.max_poll_wait = milliseconds(30);
  StartWith(options);

  const MonotonicTime begin = clock_.MonotonicNow();
  const auto decision = Poll("p", std::chrono::hours(1));

  ASSERT_TRUE(decision.ok());
  EXPECT_EQ(decision->outcome, Outcome::kNothing);
  EXPECT_GE(clock_.MonotonicNow() - begin, milliseconds(30));
}

TEST_F(CoordinatorTest, APollThatNobodyWaitsForIsGivenNothing) {
  StartWith({});
  ASSERT_TRUE(coordinator_->Record(ASubmission("job-1")).ok());

  const auto decision = coordinator_->Poll({worker_, "p"}, seconds(10), [] { return true; });

  EXPECT_EQ(decision.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(coordinator_->FindJob("job-1")->job.status.state, JobState::kPending);
}

TEST_F(CoordinatorTest, OnePollTooManyDoesNotWait) {
  CoordinatorOptions options;
  options.max_waiting_polls = 0;
  StartWith(options);

  const auto decision = Poll("p", std::chrono::hours(1));  // would hang otherwise

  ASSERT_TRUE(decision.ok());
  EXPECT_EQ(decision->outcome, Outcome::kNothing);
}

TEST_F(CoordinatorTest, DrainingWakesWhoWaitsAndRefusesNewWorkButTakesResults) {
  StartWith({});
  ASSERT_TRUE(coordinator_->Record(ASubmission("job-1")).ok());
  const auto held = Poll("p", seconds(0));
  const auto evaluate = Poll("q", seconds(0));
  ASSERT_EQ(evaluate->task_id, "job-1/evaluate-0");
  auto waiting = std::async(std::launch::async, [&] { return Poll("r", seconds(10)); });

  coordinator_->Drain();

  EXPECT_EQ(ReasonOf(waiting.get().status()), ErrorReason::kStopping);
  EXPECT_EQ(ReasonOf(coordinator_->Record(ASubmission("job-2")).status()), ErrorReason::kStopping);
  EXPECT_EQ(ReasonOf(coordinator_->Record(RegisterWorker{{"b", "1"}, "cpu", "1", {}}).status()),
            ErrorReason::kStopping);
  EXPECT_EQ(ReasonOf(coordinator_->WaitForNews("job-1", {}, seconds(10)).status()), ErrorReason::kStopping);
  const Lease lease = {"job-1/evaluate-0", 1, "a", "1", ""};
  EXPECT_TRUE(coordinator_->Record(CompleteTask{lease, {{}, EvaluateResult{10, 10}}}).ok());
}

TEST_F(CoordinatorTest, AWatcherHearsOfEventsAndProgress) {
  StartWith({});
  ASSERT_TRUE(coordinator_->Record(ASubmission("job-1")).ok());
  Coordinator::News seen = *coordinator_->WaitForNews("job-1", {}, milliseconds(0));
  ASSERT_TRUE(Poll("p", seconds(0)).ok());

  const auto granted = coordinator_->WaitForNews("job-1", seen, seconds(10));
  ASSERT_TRUE(granted.ok());
  EXPECT_GT(granted->last_event_seq, seen.last_event_seq);

  const Lease lease = {"job-1/quantize-0", 1, "a", "1", ""};
  ASSERT_TRUE(coordinator_->Record(RenewLease{lease, {.counter = 1, .fraction = 0.5, .layer = 0, .step = "s"}}).ok());
  const auto progressed = coordinator_->WaitForNews("job-1", *granted, seconds(10));
  ASSERT_TRUE(progressed.ok());
  EXPECT_NE(progressed->progress_version, granted->progress_version);
  EXPECT_EQ(coordinator_->FindJob("job-1")->progress.at("job-1/quantize-0").step, "s");
  EXPECT_EQ(ReasonOf(coordinator_->WaitForNews("job-9", {}, seconds(10)).status()), ErrorReason::kJobUnknown);
}

TEST_F(CoordinatorTest, ARestartGoesOnWithTheSameLeasesWhileTheirHoldersCall) {
  StartWith({});
  ASSERT_TRUE(coordinator_->Record(ASubmission("job-1")).ok());
  ASSERT_TRUE(Poll("p", seconds(0)).ok());
  const Lease lease = {"job-1/quantize-0", 1, "a", "1", ""};
  ASSERT_TRUE(coordinator_->Record(PublishLayer{lease, {0, DigestOf("0"), {}}}).ok());
  coordinator_.reset();

  Coordinator restarted(store_, clock_, metrics_, {});
  ASSERT_TRUE(restarted.Start([](const absl::Status&) {}).ok());

  EXPECT_TRUE(restarted.CheckHolder(lease).ok());
  EXPECT_TRUE(restarted.Record(RenewLease{lease, {}}).ok());
  EXPECT_TRUE(restarted.Record(PublishLayer{lease, {1, DigestOf("1"), {}}}).ok());
  EXPECT_TRUE(restarted.Record(CompleteTask{lease, {{}, QuantizeResult{}}}).ok());
  EXPECT_EQ(ReasonOf(restarted.Poll({worker_, "p"}, seconds(0), [] { return false; }).status()),
            ErrorReason::kWorkerUnknown);
}

TEST_F(CoordinatorTest, OneThatStandsByAnswersFromTheJournalAndRefusesTheRestUntilItTakesOver) {
  StartWith({});
  ASSERT_TRUE(coordinator_->Record(ASubmission("job-1")).ok());
  ASSERT_TRUE(Poll("p", seconds(0)).ok());
  const Lease lease = {"job-1/quantize-0", 1, "a", "1", ""};
  const PublishedLayer layer = {0, DigestOf("0"), {ALinearReport("model.layers.0.self_attn.q_proj")}};
  ASSERT_TRUE(coordinator_->Record(PublishLayer{lease, layer}).ok());
  SharedJobStore shared(store_);
  shared.SetMayLead(false);
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<absl::Status> news;
  CoordinatorOptions options;
  options.tick_period = milliseconds(5);
  MetricsRegistry registry("coordinator");
  CoordinatorMetrics metrics(registry);
  Coordinator standby(shared, clock_, metrics, options);

  ASSERT_TRUE(standby
                  .Start([&](const absl::Status& readiness) {
                    const std::lock_guard lock(mutex);
                    news.push_back(readiness);
                    changed.notify_all();
                  })
                  .ok());

  EXPECT_EQ(standby.FindJob("job-1")->job.description.job_id, "job-1");
  EXPECT_EQ(ReasonOf(standby.FindJob("job-9").status()), ErrorReason::kJobUnknown);
  EXPECT_EQ(ReasonOf(standby.ListWorkers().status()), ErrorReason::kNotLeading);
  EXPECT_EQ(ReasonOf(standby.CheckHolder(lease)), ErrorReason::kNotLeading);
  EXPECT_EQ(ReasonOf(standby.WaitForNews("job-1", {}, seconds(10)).status()), ErrorReason::kNotLeading);
  EXPECT_EQ(ReasonOf(standby.Record(RegisterWorker{worker_, "cpu", "1", {}}).status()), ErrorReason::kNotLeading);
  EXPECT_EQ(ReasonOf(standby.Poll({worker_, "p"}, seconds(10), [] { return false; }).status()),
            ErrorReason::kNotLeading);

  shared.SetMayLead(true);
  std::unique_lock lock(mutex);
  ASSERT_TRUE(changed.wait_for(lock, seconds(60), [&] { return news.size() == 2; }));
  EXPECT_EQ(ReasonOf(news[0]), ErrorReason::kNotLeading);
  EXPECT_TRUE(news[1].ok());
  lock.unlock();
  EXPECT_TRUE(standby.Record(RegisterWorker{worker_, "cpu", "1", {}}).ok());
  EXPECT_TRUE(standby.ListWorkers().ok());
  EXPECT_THAT(registry.RenderText(), HasSubstr("gptvq_coordinator_ready 1\n"));
  EXPECT_THAT(registry.RenderText(), HasSubstr("relative_error{job_id=\"job-1\",layer=\"000\",role=\"q\"} 0.0125"));
}

TEST_F(CoordinatorTest, OneThatIsDeposedLeavesItToTheLeaderToShowJobsAndWorkers) {
  SharedJobStore shared(store_);
  CoordinatorOptions options;
  options.tick_period = milliseconds(5);
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<bool> ready;
  MetricsRegistry registry("coordinator");
  CoordinatorMetrics metrics(registry);
  Coordinator former(shared, clock_, metrics, options);
  ASSERT_TRUE(former
                  .Start([&](const absl::Status& readiness) {
                    const std::lock_guard lock(mutex);
                    ready = readiness.ok();
                    changed.notify_all();
                  })
                  .ok());
  ASSERT_TRUE(former.Record(RegisterWorker{worker_, "cpu", "1", {}}).ok());
  ASSERT_TRUE(former.Record(ASubmission("job-1")).ok());
  const auto shows = [&](const std::string& text) { return registry.RenderText().find(text) != std::string::npos; };
  const auto await = [&](const auto& condition) {  // tick by tick
    const auto deadline = std::chrono::steady_clock::now() + seconds(60);
    std::unique_lock lock(mutex);
    while (!condition() && std::chrono::steady_clock::now() < deadline) changed.wait_for(lock, options.tick_period);
    return condition();
  };
  ASSERT_TRUE(
      await([&] { return shows("coordinator_job_info{job_id=\"job-1\"") && shows("coordinator_workers 1\n"); }));

  shared.SetMayLead(false);
  ASSERT_TRUE(await([&] { return ready == false && shows("coordinator_workers 0\n"); }));

  EXPECT_FALSE(shows("job_id=\"job-1\""));
  EXPECT_FALSE(shows("state=\"ready\"} 1\n"));
}

TEST_F(CoordinatorTest, ManyThreadsAtOnceNeverShareATask) {
  StartWith({});
  for (int job = 0; job < 8; ++job) ASSERT_TRUE(coordinator_->Record(ASubmission("job-" + std::to_string(job))).ok());
  std::mutex mutex;
  std::vector<std::string> granted;

  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 8; ++thread) {
      threads.emplace_back([&, thread] {
        for (int poll = 0; poll < 4; ++poll) {
          const auto decision = Poll("p-" + std::to_string(thread) + "-" + std::to_string(poll), seconds(0));
          if (!decision.ok() || decision->outcome != Outcome::kDone) continue;
          const std::lock_guard lock(mutex);
          granted.push_back(decision->task_id);
        }
      });
    }
  }

  EXPECT_EQ(granted.size(), 16u);  // a quantize and an evaluate task per job
  std::sort(granted.begin(), granted.end());
  EXPECT_EQ(std::unique(granted.begin(), granted.end()), granted.end());
}

TEST(RecordQueue, AnswersEveryEventOnceAndGathersThoseThatComeMeanwhile) {
  constexpr int kThreads = 8;
  constexpr int kEvents = 200;
  std::mutex ledger;
  RecordQueue queue(ledger);
  int answered = 0, batches = 0;  // guarded by the mutex of the ledger

  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = 0; i < kEvents; ++i) {
          const Event event = CancelJob{std::to_string(thread) + "-" + std::to_string(i)};
          Proposal proposal = {event};
          queue.Record(proposal, [&](absl::Span<Proposal* const> batch) {
            ++batches;
            for (Proposal* one : batch) {
              ASSERT_TRUE(absl::IsUnknown(one->answer.status())) << "answered twice";
              one->answer = Decision();
              one->answer->task_id = std::get<CancelJob>(one->event).job_id;
              ++answered;
            }
            std::this_thread::yield();
          });
          EXPECT_EQ(proposal.answer->task_id, std::get<CancelJob>(event).job_id);
        }
      });
    }
  }

  EXPECT_EQ(answered, kThreads * kEvents);
  EXPECT_LT(batches, kThreads * kEvents);
}

TEST(Seal, EqualsThePublishedHmacVectors) {
  // RFC 4231, test cases 1, 2 and 6 (a key longer than a block).
  EXPECT_EQ(HmacSha256Hex(std::string(20, '\x0b'), "Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(HmacSha256Hex("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(HmacSha256Hex(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Seal, ATokenBelongsToOneLeaseAndOneKey) {
  const Seal seal(Secret("key"));
  Lease lease = {"job-1/quantize-0", 3, "worker", "incarnation", ""};
  lease.token = seal.LeaseToken(lease);
  EXPECT_TRUE(seal.IsGenuine(lease));
  EXPECT_FALSE(Seal(Secret("other key")).IsGenuine(lease));

  for (int change = 0; change < 5; ++change) {
    Lease other = lease;
    if (change == 0) other.task_id += "0";
    if (change == 1) other.epoch += 1;
    if (change == 2) other.worker_name += "x";
    if (change == 3) other.incarnation += "x";
    if (change == 4) other.token.pop_back();
    EXPECT_FALSE(seal.IsGenuine(other)) << change;
  }
}

TEST(Seal, PageTokensCannotBeMadeUp) {
  const Seal seal(Secret("key"));
  EXPECT_EQ(seal.ParsePageToken(seal.PageToken(42)), 42);
  for (const std::string& token :
       {std::string(), std::string("42"), std::string("42-"), std::string("x"),
        std::string("43") + seal.PageToken(42).substr(2), Seal(Secret("other")).PageToken(42)}) {
    EXPECT_EQ(seal.ParsePageToken(token), std::nullopt) << token;
  }
}

}  // namespace
}  // namespace gptvq

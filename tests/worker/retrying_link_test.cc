#include "worker/retrying_link.h"

#include <sstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/job/error_reason.h"
#include "tests/support/fake_clock.h"
#include "tests/worker/fake_coordinator.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::SizeIs;

class RetryingLinkTest : public testing::Test {
 protected:
  // Runs `call` on a thread while the time goes by in steps that no delay exceeds.
  template <typename CallT>
  void WhileTimePasses(const CallT& call, int delay_count) {
    std::jthread thread([&] { call(); });
    for (int i = 0; i < delay_count; ++i) {
      clock_.AwaitSleepers(1);
      clock_.Advance(seconds(60));
    }
  }

  FakeCoordinator coordinator_;
  FakeClock clock_;
  std::ostringstream log_text_;
  Logger log_{LogLevel::kDebug, log_text_};
  MetricsRegistry registry_{"worker"};
  Counter& retries_ = registry_.AddCounter("call_retries_total", "Retries.");
  RetryingLink link_{coordinator_, BackoffOptions{}, clock_, log_, retries_};
  const Lease lease_ = AGrant("A").lease;
};

TEST_F(RetryingLinkTest, RepeatsUntilTheCoordinatorIsBack) {
  for (int i = 0; i < 7; ++i) coordinator_.AnswerNext("complete", absl::UnavailableError("away"));
  absl::Status status = absl::UnknownError("not called");

  WhileTimePasses([&] { status = link_.CompleteTask(lease_, TaskResult{}, std::stop_token()); }, 7);

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(coordinator_.CallsOf("complete"), SizeIs(8));
  EXPECT_EQ(retries_.Value(), 7);
}

TEST_F(RetryingLinkTest, PollsAgainWithTheSameId) {
  coordinator_.AnswerNext("poll", absl::DeadlineExceededError("answer lost"));
  coordinator_.Grant(AGrant("A"));

  WhileTimePasses(
      [&] { EXPECT_TRUE(link_.PollTask({.poll_id = "poll-5", .wait = seconds(1)}, std::stop_token())->grant); }, 1);

  EXPECT_THAT(coordinator_.CallsOf("poll"), testing::ElementsAre("poll poll-5", "poll poll-5"));
}

TEST_F(RetryingLinkTest, RefusalsAreFinal) {
  coordinator_.AnswerNext("complete", Refuse(ErrorReason::kStaleEpoch, "stale"));

  const absl::Status status = link_.CompleteTask(lease_, TaskResult{}, std::stop_token());

  EXPECT_EQ(ReasonOf(status), ErrorReason::kStaleEpoch);
  EXPECT_THAT(coordinator_.CallsOf("complete"), SizeIs(1));
}

TEST_F(RetryingLinkTest, WaitsAsLongAsTheCoordinatorAsks) {
  coordinator_.AnswerNext("publish", WithRetryAfter(Refuse(ErrorReason::kTooManyUploads, "later"), seconds(45)));
  const std::vector<LinearReport> linears;
  std::jthread thread([&] {
    EXPECT_TRUE(link_.PublishLayer(lease_, {.layer = 0, .packed = "x", .linears = linears}, std::stop_token()).ok());
  });

  clock_.AwaitSleepers(1);
  clock_.Advance(seconds(44));
  clock_.AwaitSleepers(1);  // still waiting
  EXPECT_THAT(coordinator_.CallsOf("publish"), SizeIs(1));
  clock_.Advance(seconds(1));
  thread.join();

  EXPECT_THAT(coordinator_.CallsOf("publish"), SizeIs(2));
}

TEST_F(RetryingLinkTest, DamagedBytesAreSentAgainAFewTimes) {
  for (int i = 0; i < 10; ++i) coordinator_.AnswerNext("publish", Refuse(ErrorReason::kChecksumMismatch, "crc"));
  const std::vector<LinearReport> linears;
  absl::Status status;

  WhileTimePasses(
      [&] { status = link_.PublishLayer(lease_, {.layer = 0, .packed = "x", .linears = linears}, std::stop_token()); },
      3);

  EXPECT_EQ(ReasonOf(status), ErrorReason::kChecksumMismatch);
  EXPECT_THAT(coordinator_.CallsOf("publish"), SizeIs(4));
}

TEST_F(RetryingLinkTest, StopEndsTheWaitBetweenTwoTries) {
  coordinator_.AnswerNext("complete", absl::UnavailableError("away"));
  std::stop_source stop;
  absl::Status status;
  std::jthread thread([&] { status = link_.CompleteTask(lease_, TaskResult{}, stop.get_token()); });
  clock_.AwaitSleepers(1);

  stop.request_stop();
  thread.join();

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(coordinator_.CallsOf("complete"), SizeIs(1));
}

TEST_F(RetryingLinkTest, RenewalsAndReleasesAreMadeOnce) {
  coordinator_.AnswerNext("renew", absl::UnavailableError("away"));
  coordinator_.AnswerNext("release", absl::UnavailableError("away"));

  EXPECT_EQ(link_.RenewLease(lease_, TaskProgress{}, std::stop_token()).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(link_.ReleaseTask(lease_, std::stop_token()).code(), absl::StatusCode::kUnavailable);
}

TEST(Backoff, DoublesToItsCapAndKeepsHalfOfTheDelay) {
  Backoff backoff({.first = milliseconds(500), .longest = milliseconds(10'000), .seed = 7});
  for (const int ceiling_ms : {500, 1000, 2000, 4000, 8000, 10'000, 10'000}) {
    const milliseconds delay = backoff.Next();
    EXPECT_GE(delay, milliseconds(ceiling_ms / 2));
    EXPECT_LE(delay, milliseconds(ceiling_ms));
  }
}

TEST(Backoff, WorkersWithOtherSeedsComeBackAtOtherTimes) {
  Backoff one({.seed = 1});
  Backoff other({.seed = 2});

  EXPECT_NE(one.Next(), other.Next());
}

}  // namespace
}  // namespace gptvq

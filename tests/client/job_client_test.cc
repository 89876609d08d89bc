#include "client/job_client.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/job/error_reason.h"
#include "platform/rpc/status.h"
#include "tests/client/fake_job_service.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

constexpr char kJobId[] = "job-0123456789abcdef";

// Sleeping takes no time: it only becomes later.
class JumpingClock final : public Clock {
 public:
  MonotonicTime MonotonicNow() const override { return now_; }
  WallTime WallNow() const override { return {}; }
  void Sleep(std::chrono::nanoseconds duration, std::stop_token) override { now_ += duration; }

 private:
  MonotonicTime now_{};
};

struct JobClientTest : testing::Test {
  JobClientOptions Options() {
    return {.address = "10.0.0.1:7070", .on_silence = [this](std::string_view text) { told.emplace_back(text); }};
  }

  FakeJobService coordinator;
  JumpingClock clock;
  std::vector<std::string> told;
  JobClient client{Options(), coordinator.Channel(), clock};
};

const grpc::Status kAway(grpc::StatusCode::UNAVAILABLE, "connection refused");

TEST_F(JobClientTest, ACallOutlivesARestartOfTheCoordinator) {
  coordinator.first_refusals = {kAway, grpc::Status(grpc::StatusCode::CANCELLED, "CANCELLED"),  // as it shuts down
                                grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "Deadline Exceeded"),
                                ToGrpcStatus(Refuse(ErrorReason::kNotLeading, "this coordinator stands by"))};

  const auto job = client.Get(kJobId);

  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(coordinator.call_count, 5);
  EXPECT_THAT(told,
              ElementsAre("no answer from the coordinator at 10.0.0.1:7070 (connection refused); trying again for "
                          "up to 1 min 0 s"));
}

TEST_F(JobClientTest, ASubmitIsRepeatedUnderItsRequestId) {
  coordinator.first_refusals = {kAway, kAway};

  ASSERT_TRUE(client.Submit(JobSpec(), "the-id", SubmitMode::kAccept).ok());

  ASSERT_THAT(coordinator.submits, SizeIs(3));
  EXPECT_EQ(coordinator.submits[2].request_id(), "the-id");
}

TEST_F(JobClientTest, SilenceForTheWholeTimeIsUnavailableAndNamesTheRemedy) {
  coordinator.refusal = kAway;
  const MonotonicTime begin = clock.MonotonicNow();

  const absl::Status status = client.Get(kJobId).status();

  EXPECT_EQ(clock.MonotonicNow() - begin, seconds(60));
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("10.0.0.1:7070"), HasSubstr("connection refused"), HasSubstr("tried for 1 min 0 s"),
                    HasSubstr("is --coordinator right?")));
}

TEST_F(JobClientTest, ACallOfLessPatienceEndsSooner) {
  coordinator.refusal = kAway;
  const MonotonicTime begin = clock.MonotonicNow();

  EXPECT_TRUE(absl::IsUnavailable(client.Get(kJobId, milliseconds(700)).status()));

  EXPECT_EQ(clock.MonotonicNow() - begin, milliseconds(700));
}

TEST_F(JobClientTest, ARefusalThatLastsSaysWhoRefusesAndWhy) {
  coordinator.refusal = ToGrpcStatus(Refuse(ErrorReason::kNotLeading, "this coordinator stands by"));

  const absl::Status status = client.Get(kJobId).status();

  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(status.message(),
            "the coordinator at 10.0.0.1:7070 does not take the call: this coordinator stands by; tried for 1 min 0 s");
}

TEST_F(JobClientTest, AnAnswerIsNotRepeated) {
  coordinator.refusal = ToGrpcStatus(Refuse(ErrorReason::kJobUnknown, "no job"));

  EXPECT_TRUE(absl::IsNotFound(client.Get(kJobId).status()));

  EXPECT_EQ(coordinator.call_count, 1);
}

TEST_F(JobClientTest, AWatchIsTakenUpAgainAndItsTimeCountsFromTheLatestNews) {
  // Four outages of some 30 s each: longer together than the time for one.
  for (int outage = 0; outage < 4; ++outage) {
    for (int i = 0; i < 10; ++i) coordinator.first_refusals.push_back(kAway);
    coordinator.first_refusals.push_back(grpc::Status::OK);
    coordinator.first_watch_ends.push_back(kAway);
  }
  const MonotonicTime begin = clock.MonotonicNow();
  int shown = 0;

  const auto job = client.Watch(
      kJobId,
      [&](const JobView&) {
        ++shown;
        return WatchDecision::kContinue;
      },
      [this](std::string_view text) { told.emplace_back(text); });

  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(shown, 5);
  EXPECT_THAT(told, SizeIs(5));
  EXPECT_GT(clock.MonotonicNow() - begin, seconds(60));
}

TEST_F(JobClientTest, AWatchThatHearsNothingForTheWholeTimeEnds) {
  coordinator.refusal = kAway;

  const auto job = client.Watch(
      kJobId, [](const JobView&) { return WatchDecision::kContinue; }, [](std::string_view) {});

  EXPECT_THAT(std::string(job.status().message()), HasSubstr("tried for 1 min 0 s"));
}

}  // namespace
}  // namespace gptvq

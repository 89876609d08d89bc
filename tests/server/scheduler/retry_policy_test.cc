#include "server/scheduler/retry_policy.h"

#include <gtest/gtest.h>

#include <set>

namespace gptvq {
namespace {

using std::chrono::milliseconds;

TEST(RetryPolicy, TransientFailuresAreRetriedUntilTheBudgetIsSpent) {
  const RetryPolicy policy;
  FailureCounts counts;

  for (int i = 0; i < policy.max_transient; ++i) {
    EXPECT_EQ(policy.JudgeFailure(FailureClass::kTransient, counts), TaskTrigger::kRetry);
  }
  EXPECT_EQ(policy.JudgeFailure(FailureClass::kTransient, counts), TaskTrigger::kPoison);
}

TEST(RetryPolicy, ABugIsRetriedTwice) {
  const RetryPolicy policy;
  FailureCounts counts;

  EXPECT_EQ(policy.JudgeFailure(FailureClass::kBug, counts), TaskTrigger::kRetry);
  EXPECT_EQ(policy.JudgeFailure(FailureClass::kBug, counts), TaskTrigger::kRetry);
  EXPECT_EQ(policy.JudgeFailure(FailureClass::kBug, counts), TaskTrigger::kPoison);
}

TEST(RetryPolicy, InputAndFatalFailuresEndTheTaskAtOnce) {
  const RetryPolicy policy;
  FailureCounts counts;

  EXPECT_EQ(policy.JudgeFailure(FailureClass::kInput, counts), TaskTrigger::kFail);
  EXPECT_EQ(policy.JudgeFailure(FailureClass::kFatal, counts), TaskTrigger::kFail);
  EXPECT_EQ(counts, FailureCounts());
}

TEST(RetryPolicy, FailuresOfTheSurroundingsDoNotCountAgainstTheTasksOwnBudget) {
  const RetryPolicy policy;
  FailureCounts counts;

  for (int i = 0; i < policy.max_uncounted / 2; ++i) {
    EXPECT_EQ(policy.JudgeFailure(FailureClass::kInfra, counts), TaskTrigger::kRetry);
    EXPECT_EQ(policy.JudgeFailure(FailureClass::kDevice, counts), TaskTrigger::kRetry);
  }
  EXPECT_EQ(policy.JudgeFailure(FailureClass::kTransient, counts), TaskTrigger::kRetry);
  EXPECT_EQ(policy.JudgeFailure(FailureClass::kInfra, counts), TaskTrigger::kPoison);
}

TEST(RetryPolicy, LostLeasesAndStallsHaveBudgetsToo) {
  const RetryPolicy policy;
  FailureCounts counts;

  for (int i = 0; i < policy.max_lost; ++i) EXPECT_EQ(policy.JudgeLostLease(counts), TaskTrigger::kExpire);
  EXPECT_EQ(policy.JudgeLostLease(counts), TaskTrigger::kPoison);
  for (int i = 0; i < policy.max_transient; ++i) EXPECT_EQ(policy.JudgeStall(counts), TaskTrigger::kStall);
  EXPECT_EQ(policy.JudgeStall(counts), TaskTrigger::kPoison);
}

TEST(RetryPolicy, BackoffDoublesUpToTheCapAndIsNeverBelowHalf) {
  const RetryPolicy policy;
  milliseconds whole(1'000);
  for (int failures = 1; failures <= 40; ++failures) {
    for (std::int64_t epoch = 1; epoch <= 50; ++epoch) {
      const milliseconds rest = policy.Backoff(failures, 9, "job/quantize-0", epoch);
      EXPECT_GE(rest, whole / 2) << failures;
      EXPECT_LE(rest, whole) << failures;
    }
    whole = std::min(whole * 2, milliseconds(60'000));
  }
}

TEST(RetryPolicy, BackoffIsSpreadButTheSameForTheSameSeedTaskAndEpoch) {
  const RetryPolicy policy;
  std::set<milliseconds> rests;
  for (std::int64_t epoch = 1; epoch <= 100; ++epoch) rests.insert(policy.Backoff(5, 9, "task", epoch));

  EXPECT_GT(rests.size(), 90u);
  EXPECT_EQ(policy.Backoff(5, 9, "task", 3), policy.Backoff(5, 9, "task", 3));
  EXPECT_NE(policy.Backoff(5, 9, "task", 3), policy.Backoff(5, 10, "task", 3));
  EXPECT_NE(policy.Backoff(5, 9, "task", 3), policy.Backoff(5, 9, "other", 3));
}

}  // namespace
}  // namespace gptvq

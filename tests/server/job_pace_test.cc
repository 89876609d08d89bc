#include "server/job_pace.h"

#include <gtest/gtest.h>

#include <chrono>

namespace gptvq {
namespace {

using std::chrono::seconds;

constexpr MonotonicTime kBegin{std::chrono::hours(1)};

TEST(JobPace, IsUnknownBeforeAFiftiethOfTheWorkWasSeen) {
  JobPace pace;
  pace.Observe(kBegin, 0);
  pace.Observe(kBegin + seconds(100), 0.01);
  EXPECT_FALSE(pace.SecondsLeft(kBegin + seconds(100)).has_value());

  pace.Observe(kBegin + seconds(101), 0.04);

  EXPECT_TRUE(pace.SecondsLeft(kBegin + seconds(101)).has_value());
}

TEST(JobPace, WaitingForTheFirstWorkerDoesNotCount) {
  JobPace pace;
  pace.Observe(kBegin, 0);
  pace.Observe(kBegin + seconds(9000), 0.10);
  pace.Observe(kBegin + seconds(9010), 0.20);

  EXPECT_NEAR(*pace.SecondsLeft(kBegin + seconds(9010)), 80, 1e-6);
}

TEST(JobPace, GrowsWhileNothingIsDone) {
  JobPace pace;
  pace.Observe(kBegin, 0.10);
  pace.Observe(kBegin + seconds(10), 0.20);

  EXPECT_NEAR(*pace.SecondsLeft(kBegin + seconds(30)), 240, 1e-6);
}

TEST(JobPace, FollowsTheLatestTenthOfTheWork) {
  JobPace pace;
  MonotonicTime now = kBegin;
  for (int percent = 1; percent <= 40; ++percent) pace.Observe(now += seconds(10), percent / 100.0);
  EXPECT_NEAR(*pace.SecondsLeft(now), 600, 1);

  for (int percent = 41; percent <= 60; ++percent)
    pace.Observe(now += seconds(1), percent / 100.0);  // ten times faster

  EXPECT_NEAR(*pace.SecondsLeft(now), 40, 1);
}

TEST(JobPace, LostWorkBeginsAnew) {
  JobPace pace;
  pace.Observe(kBegin, 0.10);
  pace.Observe(kBegin + seconds(10), 0.20);
  pace.Observe(kBegin + seconds(20), 0.15);

  EXPECT_FALSE(pace.SecondsLeft(kBegin + seconds(20)).has_value());
}

}  // namespace
}  // namespace gptvq

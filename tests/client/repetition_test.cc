#include "client/repetition.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const absl::Status kSilence = absl::UnavailableError("away");

TEST(Repetition, AnswersAreNeverRepeated) {
  FakeClock clock;
  Repetition tries({}, clock);

  EXPECT_EQ(tries.NextPause(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(tries.NextPause(absl::NotFoundError("no such job")), std::nullopt);
  EXPECT_EQ(tries.NextPause(absl::InternalError("a bug")), std::nullopt);
  EXPECT_EQ(tries.pause_count(), 0);
}

TEST(Repetition, PausesGrowAndTheLastTryIsMadeWhenTheTimeIsUp) {
  FakeClock clock;
  Repetition tries({.at_most = seconds(60)}, clock);
  milliseconds sum(0);

  while (const auto pause = tries.NextPause(sum < seconds(20) ? kSilence : absl::DeadlineExceededError("hangs"))) {
    ASSERT_GT(pause->count(), 0);
    EXPECT_LE(*pause, seconds(5));
    sum += *pause;
    clock.Advance(*pause);
  }

  EXPECT_EQ(sum, seconds(60));
  EXPECT_EQ(tries.elapsed(), seconds(60));
  EXPECT_LT(tries.pause_count(), 40);  // 2.5 s each at the least, but for the first five
}

TEST(Repetition, WithoutTimeThereIsOneTry) {
  FakeClock clock;
  Repetition tries({.at_most = milliseconds(0)}, clock);

  EXPECT_EQ(tries.NextPause(kSilence), std::nullopt);
}

TEST(Repetition, AfterAnAnswerAllBeginsAgain) {
  FakeClock clock;
  Repetition tries({.at_most = seconds(60)}, clock);
  for (int i = 0; i < 6; ++i) clock.Advance(*tries.NextPause(kSilence));
  clock.Advance(seconds(60));
  ASSERT_EQ(tries.NextPause(kSilence), std::nullopt);

  tries.Restart();

  EXPECT_EQ(tries.elapsed(), seconds(0));
  EXPECT_LE(tries.NextPause(kSilence), milliseconds(200));
  EXPECT_EQ(tries.pause_count(), 1);
}

}  // namespace
}  // namespace gptvq

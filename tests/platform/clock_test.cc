#include "platform/clock.h"

#include <thread>

#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"

namespace gptvq {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(SystemClock, SleepLastsAtLeastItsDuration) {
  SystemClock clock;
  const MonotonicTime start = clock.MonotonicNow();

  clock.Sleep(milliseconds(5), std::stop_token());

  EXPECT_GE(clock.MonotonicNow() - start, milliseconds(5));
}

TEST(SystemClock, StopEndsASleepOfHours) {
  SystemClock clock;
  const MonotonicTime start = clock.MonotonicNow();
  {
    std::jthread sleeper([&](std::stop_token stop) { clock.Sleep(hours(24), stop); });
  }  // requests the stop and joins
  EXPECT_LT(clock.MonotonicNow() - start, hours(1));
}

TEST(SystemClock, SleepOfNothingReturns) {
  SystemClock clock;
  clock.Sleep(seconds(0), std::stop_token());
  clock.Sleep(seconds(-5), std::stop_token());
}

TEST(FakeClock, WakesSleepersInTheOrderOfTheirDeadlines) {
  FakeClock clock;
  std::stop_source stop_late;
  std::jthread early([&] { clock.Sleep(seconds(1), std::stop_token()); });
  std::jthread late([&] { clock.Sleep(seconds(10), stop_late.get_token()); });
  clock.AwaitSleepers(2);

  clock.Advance(seconds(1));
  early.join();

  clock.AwaitSleepers(1);  // the late one still sleeps
  stop_late.request_stop();
  late.join();
}

TEST(FakeClock, WallTimeJumpsWithoutTheMonotonicClock) {
  FakeClock clock;
  const MonotonicTime monotonic = clock.MonotonicNow();
  const WallTime wall = clock.WallNow();

  clock.JumpWallTime(-hours(1));

  EXPECT_EQ(clock.MonotonicNow(), monotonic);
  EXPECT_EQ(clock.WallNow(), wall - hours(1));
}

}  // namespace
}  // namespace gptvq

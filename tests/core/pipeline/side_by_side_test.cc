#include "core/pipeline/side_by_side.h"

#include <array>
#include <atomic>
#include <latch>
#include <semaphore>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "core/backend/device_lost.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using ::testing::ElementsAre;

absl::Status Accept(int) { return absl::OkStatus(); }
void Ignore(int) {}

TEST(RunSideBySide, BeginsAndTellsInOrderOnTheCallingThread) {
  for (int places : {1, 2, 3, 9}) {
    SCOPED_TRACE(places);
    const std::thread::id caller = std::this_thread::get_id();
    std::vector<int> begun, told;
    const auto begin = [&](int item) {
      EXPECT_EQ(std::this_thread::get_id(), caller);
      begun.push_back(item);
      return absl::OkStatus();
    };
    const auto end = [&](int item) {
      EXPECT_EQ(std::this_thread::get_id(), caller);
      told.push_back(item);
    };

    EXPECT_EQ(RunSideBySide(5, places, {begin, [](int, int) { return absl::OkStatus(); }, end}), absl::OkStatus());

    EXPECT_THAT(begun, ElementsAre(0, 1, 2, 3, 4));
    EXPECT_THAT(told, ElementsAre(0, 1, 2, 3, 4));
  }
}

// None of them comes to an end unless all are at work.
TEST(RunSideBySide, WorksAtAllPlacesAtOnce) {
  std::latch all_are_there(3);
  const auto run = [&](int, int) {
    all_are_there.arrive_and_wait();
    return absl::OkStatus();
  };

  EXPECT_EQ(RunSideBySide(3, 3, {Accept, run, Ignore}), absl::OkStatus());
}

TEST(RunSideBySide, APlaceDoesOneThingAtATime) {
  std::array<std::atomic<int>, 2> at_work = {};
  std::atomic<int> most = 0;
  const auto run = [&](int, int place) {
    most = std::max(most.load(), ++at_work[place]);
    --at_work[place];
    return absl::OkStatus();
  };

  EXPECT_EQ(RunSideBySide(40, 2, {Accept, run, Ignore}), absl::OkStatus());

  EXPECT_EQ(most, 1);
}

TEST(RunSideBySide, TellsOfAnItemOnlyWhenAllBeforeItAreDone) {
  std::binary_semaphore second_is_done(0);
  std::vector<int> told;
  const auto run = [&](int item, int) {
    if (item == 0) second_is_done.acquire();
    if (item == 1) second_is_done.release();
    return absl::OkStatus();
  };

  EXPECT_EQ(RunSideBySide(2, 2, {Accept, run, [&](int item) { told.push_back(item); }}), absl::OkStatus());

  EXPECT_THAT(told, ElementsAre(0, 1));
}

TEST(RunSideBySide, ReturnsTheErrorOfTheFirstItemWhateverFailedSooner) {
  std::binary_semaphore second_failed(0);
  std::vector<int> begun;
  const auto begin = [&](int item) {
    begun.push_back(item);
    return absl::OkStatus();
  };
  const auto run = [&](int item, int) -> absl::Status {
    if (item == 1) {
      second_failed.release();
      return absl::InternalError("the second");
    }
    second_failed.acquire();
    return absl::InternalError("the first");
  };

  EXPECT_EQ(RunSideBySide(9, 2, {begin, run, Ignore}), absl::InternalError("the first"));

  EXPECT_THAT(begun, ElementsAre(0, 1));
}

TEST(RunSideBySide, TellsOfWhatWasDoneBeforeAnErrorInOrder) {
  std::vector<int> told;
  const auto run = [](int item, int) { return item == 2 ? absl::InternalError("broken") : absl::OkStatus(); };

  const absl::Status status = RunSideBySide(4, 3, {Accept, run, [&](int item) { told.push_back(item); }});

  EXPECT_EQ(status, absl::InternalError("broken"));
  EXPECT_THAT(told, ElementsAre(0, 1));
}

TEST(RunSideBySide, ARefusalIsReturnedWhenAllHaveEndedAndNothingMoreIsTold) {
  std::binary_semaphore was_refused(0);
  std::atomic<int> ended = 0;
  std::vector<int> told;
  const auto begin = [&](int item) {
    if (item < 2) return absl::OkStatus();
    was_refused.release();
    return absl::CancelledError("nobody wants it any more");
  };
  const auto run = [&](int item, int) {
    if (item == 1) was_refused.acquire();
    ++ended;
    return absl::OkStatus();
  };

  const absl::Status status = RunSideBySide(9, 2, {begin, run, [&](int item) { told.push_back(item); }});

  EXPECT_EQ(status, absl::CancelledError("nobody wants it any more"));
  EXPECT_EQ(ended, 2);
  EXPECT_THAT(told, ElementsAre(0));
}

TEST(RunSideBySide, ALostDeviceIsGraverThanAnEarlierError) {
  const auto run = [](int item, int) {
    return item == 0 ? absl::InternalError("an error") : DeviceLostError("the device is gone");
  };

  EXPECT_TRUE(IsDeviceLost(RunSideBySide(2, 2, {Accept, run, Ignore})));
}

TEST(RunSideBySide, ThrowsWhatWasThrownOnceAllHaveEnded) {
  std::binary_semaphore was_thrown(0);
  std::atomic<bool> other_ended = false;
  const auto run = [&](int item, int) -> absl::Status {
    if (item == 0) {
      was_thrown.release();
      throw std::runtime_error("no memory");
    }
    was_thrown.acquire();
    other_ended = true;
    return absl::OkStatus();
  };

  EXPECT_THROW((void)RunSideBySide(2, 2, {Accept, run, Ignore}), std::runtime_error);

  EXPECT_TRUE(other_ended);
}

TEST(RunSideBySide, NothingToDoIsNoError) {
  EXPECT_EQ(RunSideBySide(0, 3, {Accept, [](int, int) { return absl::InternalError("not asked for"); }, Ignore}),
            absl::OkStatus());
}

}  // namespace
}  // namespace gptvq

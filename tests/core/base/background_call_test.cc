#include "core/base/background_call.h"

#include <memory>
#include <semaphore>
#include <stdexcept>
#include <utility>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(BackgroundCall, GivesTheResultWhenItIsThere) {
  std::binary_semaphore go(0);
  BackgroundCall<std::unique_ptr<int>> call([&](std::stop_token) {
    go.acquire();
    return std::make_unique<int>(7);
  });
  EXPECT_TRUE(call.is_begun());
  EXPECT_FALSE(call.is_done());

  go.release();

  EXPECT_EQ(*call.Take(), 7);
  EXPECT_FALSE(call.is_begun());
}

TEST(BackgroundCall, ThrowsWhereTheResultIsTaken) {
  BackgroundCall<int> call([](std::stop_token) -> int { throw std::runtime_error("of a library"); });

  EXPECT_THROW(call.Take(), std::runtime_error);
}

TEST(BackgroundCall, DestructionAndReplacementStopTheCallAndWaitForIt) {
  int ended = 0;
  const auto until_stopped = [&](std::stop_token stop) {
    std::binary_semaphore stopped(0);
    const std::stop_callback on_stop(stop, [&] { stopped.release(); });
    stopped.acquire();
    return ++ended;
  };

  {
    BackgroundCall<int> call(until_stopped);
    call = BackgroundCall<int>(until_stopped);
    EXPECT_EQ(ended, 1);
  }

  EXPECT_EQ(ended, 2);
}

}  // namespace
}  // namespace gptvq

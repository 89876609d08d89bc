#include "core/base/worker_pool.h"

#include <atomic>
#include <vector>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(WorkerPool, RunsEveryIterationOnceForAnyThreadCount) {
  for (int threads : {1, 2, 7}) {
    WorkerPool pool(threads);
    for (std::int64_t count : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> calls(count);

      pool.ParallelFor(count, [&](std::int64_t i) { calls[i].fetch_add(1); });

      for (std::int64_t i = 0; i < count; ++i) EXPECT_EQ(calls[i].load(), 1) << threads << " threads, iteration " << i;
    }
  }
}

TEST(WorkerPool, NoTwoIterationsShareAThreadNumberAtOnce) {
  WorkerPool pool(3);
  std::vector<std::atomic<int>> inside(pool.thread_count());
  std::atomic<int> clashes = 0;

  pool.ParallelForWithThread(1000, [&](std::int64_t, int thread) {
    if (inside[thread].fetch_add(1) != 0) clashes.fetch_add(1);
    inside[thread].fetch_sub(1);
  });

  EXPECT_EQ(clashes.load(), 0);
}

TEST(WorkerPool, ManyShortLoopsDoNotLoseAWakeUp) {
  WorkerPool pool(4);
  std::atomic<std::int64_t> total = 0;

  for (int loop = 0; loop < 5000; ++loop) pool.ParallelFor(3, [&](std::int64_t i) { total.fetch_add(i); });

  EXPECT_EQ(total.load(), 5000 * 3);
}

}  // namespace
}  // namespace gptvq

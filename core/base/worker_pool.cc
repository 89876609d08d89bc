#include "core/base/worker_pool.h"

#include "core/base/check.h"

namespace gptvq {

WorkerPool::WorkerPool(int thread_count) {
  GPTVQ_CHECK(thread_count >= 1);
  threads_.reserve(thread_count - 1);
  for (int thread = 1; thread < thread_count; ++thread) {
    threads_.emplace_back([this, thread](std::stop_token stop) { RunThread(stop, thread); });
  }
}

WorkerPool::~WorkerPool() = default;  // each jthread asks its thread to stop and joins it

void WorkerPool::ParallelFor(std::int64_t count, absl::FunctionRef<void(std::int64_t)> body) {
  ParallelForWithThread(count, [body](std::int64_t i, int) { body(i); });
}

void WorkerPool::ParallelForWithThread(std::int64_t count, absl::FunctionRef<void(std::int64_t, int)> body) {
  if (threads_.empty() || count <= 1) {
    for (std::int64_t i = 0; i < count; ++i) body(i, 0);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    GPTVQ_CHECK(threads_inside_ == 0);
    body_ = &body;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    threads_inside_ = static_cast<int>(threads_.size());
    ++generation_;
  }
  wake_.notify_all();
  TakeIterations(0);
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return threads_inside_ == 0; });
}

void WorkerPool::RunThread(std::stop_token stop, int thread) {
  std::uint64_t seen = 0;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [&] { return generation_ != seen; })) return;
      seen = generation_;
    }
    TakeIterations(thread);
    std::lock_guard lock(mutex_);
    if (--threads_inside_ == 0) done_.notify_one();
  }
}

void WorkerPool::TakeIterations(int thread) {
  for (std::int64_t i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) (*body_)(i, thread);
}

}  // namespace gptvq

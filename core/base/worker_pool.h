#ifndef GPTVQ_CORE_BASE_WORKER_POOL_H_
#define GPTVQ_CORE_BASE_WORKER_POOL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace gptvq {

// A fixed set of threads that share the iterations of one loop at a time; used by the CPU backend.
// Owns its threads; the destructor joins them. Thread-compatible: one ParallelFor at a time, never nested.
// Which thread runs which iteration is not determined; callers get determinism by cutting work into iterations that do not
// depend on the thread count and write disjoint outputs.
class WorkerPool {
 public:
  // `thread_count` >= 1 counts the calling thread, which takes part in every loop: 1 starts no thread.
  explicit WorkerPool(int thread_count);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int thread_count() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls body(i) once for every i in [0, count) and returns when all calls have returned. `body` must not throw.
  void ParallelFor(std::int64_t count, absl::FunctionRef<void(std::int64_t)> body);

  // As ParallelFor, for bodies that need scratch memory per thread: body(i, thread), 0 <= thread < thread_count().
  void ParallelForWithThread(std::int64_t count, absl::FunctionRef<void(std::int64_t, int)> body);

 private:
  void RunThread(std::stop_token stop, int thread);
  void TakeIterations(int thread);

  std::mutex mutex_;
  std::condition_variable_any wake_;  // a loop begins, or the pool stops
  std::condition_variable done_;      // the last thread left the loop

  // The loop in progress; written under mutex_ while no thread is inside it.
  absl::FunctionRef<void(std::int64_t, int)>* body_ = nullptr;
  std::int64_t count_ = 0;
  std::uint64_t generation_ = 0;
  int threads_inside_ = 0;
  std::atomic<std::int64_t> next_ = 0;

  std::vector<std::jthread> threads_;  // last: they stop before the fields above go away
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BASE_WORKER_POOL_H_

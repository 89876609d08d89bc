#ifndef GPTVQ_SERVER_CONCURRENCY_LIMIT_H_
#define GPTVQ_SERVER_CONCURRENCY_LIMIT_H_

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "platform/metrics.h"

namespace gptvq {

// At most so many at a time: calls that keep a thread of the RPC pool busy. Shows their number in a gauge, which it borrows.
// Thread-safe; outlives its slots.
class ConcurrencyLimit {
  struct Release {
    void operator()(ConcurrencyLimit* limit) const { limit->GiveBack(); }
  };

 public:
  ConcurrencyLimit(int limit, Gauge& taken_gauge) : limit_(limit), taken_gauge_(taken_gauge) {}

  // A place, given back when it is destroyed; null when all are taken, and stay so for `patience`.
  using Slot = std::unique_ptr<ConcurrencyLimit, Release>;
  Slot TryTake(std::chrono::milliseconds patience = std::chrono::milliseconds(0)) {
    std::unique_lock lock(mutex_);
    if (!given_back_.wait_for(lock, patience, [this] { return taken_ < limit_; })) return nullptr;
    ++taken_;
    taken_gauge_.Increment();
    return Slot(this);
  }

 private:
  void GiveBack() {
    const std::lock_guard lock(mutex_);
    taken_gauge_.Decrement();
    --taken_;
    given_back_.notify_one();
  }

  const int limit_;
  std::mutex mutex_;
  std::condition_variable given_back_;
  int taken_ = 0;  // guarded by mutex_
  Gauge& taken_gauge_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_CONCURRENCY_LIMIT_H_

#ifndef GPTVQ_SERVER_CONCURRENCY_LIMIT_H_
#define GPTVQ_SERVER_CONCURRENCY_LIMIT_H_

#include <atomic>
#include <memory>

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

  // A place, given back when it is destroyed; null when all are taken.
  using Slot = std::unique_ptr<ConcurrencyLimit, Release>;
  Slot TryTake() {
    if (taken_.fetch_add(1) < limit_) {
      taken_gauge_.Increment();
      return Slot(this);
    }
    taken_.fetch_sub(1);
    return nullptr;
  }

 private:
  void GiveBack() {
    taken_gauge_.Decrement();
    taken_.fetch_sub(1);
  }

  const int limit_;
  std::atomic<int> taken_ = 0;
  Gauge& taken_gauge_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_CONCURRENCY_LIMIT_H_

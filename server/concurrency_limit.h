#ifndef GPTVQ_SERVER_CONCURRENCY_LIMIT_H_
#define GPTVQ_SERVER_CONCURRENCY_LIMIT_H_

#include <atomic>
#include <memory>
#include <optional>

namespace gptvq {

// At most so many at a time: calls that keep a thread of the RPC pool busy. Thread-safe; outlives its slots.
class ConcurrencyLimit {
  struct Release {
    void operator()(ConcurrencyLimit* limit) const { limit->taken_.fetch_sub(1); }
  };

 public:
  explicit ConcurrencyLimit(int limit) : limit_(limit) {}

  // A place, given back when it is destroyed; empty when all are taken.
  using Slot = std::unique_ptr<ConcurrencyLimit, Release>;
  Slot TryTake() {
    if (taken_.fetch_add(1) < limit_) return Slot(this);
    taken_.fetch_sub(1);
    return nullptr;
  }

  int taken() const { return taken_.load(); }

 private:
  const int limit_;
  std::atomic<int> taken_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_CONCURRENCY_LIMIT_H_

#ifndef GPTVQ_BENCH_LOAD_CALL_TIMES_H_
#define GPTVQ_BENCH_LOAD_CALL_TIMES_H_

#include <algorithm>
#include <chrono>
#include <mutex>
#include <vector>

namespace gptvq {

// How long calls of one kind took, from many threads. Thread-safe.
class CallTimes {
 public:
  void Add(std::chrono::nanoseconds duration) {
    const std::lock_guard lock(mutex_);
    milliseconds_.push_back(std::chrono::duration<double, std::milli>(duration).count());
  }
  std::size_t count() const {
    const std::lock_guard lock(mutex_);
    return milliseconds_.size();
  }
  // The value that a share of all calls stayed below; 0 without calls.
  double Quantile(double share) const {
    const std::lock_guard lock(mutex_);
    if (milliseconds_.empty()) return 0;
    std::vector<double> sorted = milliseconds_;
    std::sort(sorted.begin(), sorted.end());
    return sorted[std::min(sorted.size() - 1, static_cast<std::size_t>(share * static_cast<double>(sorted.size())))];
  }

 private:
  mutable std::mutex mutex_;
  std::vector<double> milliseconds_;
};

}  // namespace gptvq

#endif  // GPTVQ_BENCH_LOAD_CALL_TIMES_H_

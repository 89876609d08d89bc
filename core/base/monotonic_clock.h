#ifndef GPTVQ_CORE_BASE_MONOTONIC_CLOCK_H_
#define GPTVQ_CORE_BASE_MONOTONIC_CLOCK_H_

namespace gptvq {

// Time for reports only: nothing in core/ decides anything by it. Implemented outside of core/. Thread-safe.
class MonotonicClock {
 public:
  virtual ~MonotonicClock() = default;
  // Seconds since an arbitrary moment; never decreases.
  virtual double NowSeconds() const = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BASE_MONOTONIC_CLOCK_H_

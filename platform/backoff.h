#ifndef GPTVQ_PLATFORM_BACKOFF_H_
#define GPTVQ_PLATFORM_BACKOFF_H_

#include <chrono>
#include <cstdint>
#include <random>

namespace gptvq {

struct BackoffOptions {
  std::chrono::milliseconds first{500};
  std::chrono::milliseconds longest{10'000};  // a third of the default lease, so that a return is noticed in time
  std::uint64_t seed = 0;                     // differs between processes, or they come back all at once
};

// How long to wait before the next try: the delay doubles up to a cap, half of it fixed and half random ("equal
// jitter": a purely random delay can be next to nothing many times in a row). Thread-compatible; no clock.
class Backoff {
 public:
  explicit Backoff(const BackoffOptions& options) : options_(options), random_(options.seed) {}

  std::chrono::milliseconds Next();

 private:
  BackoffOptions options_;
  std::mt19937_64 random_;
  std::chrono::milliseconds ceiling_{0};  // of the delay that was last returned
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_BACKOFF_H_

#ifndef GPTVQ_PLATFORM_OBJECT_STORE_S3_RETRY_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_S3_RETRY_H_

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <random>

namespace gptvq {

struct S3RetryOptions {
  int max_attempts = 8;                       // of one request, the first one included
  std::chrono::milliseconds first{200};       // ceiling of the first delay; it doubles
  std::chrono::milliseconds longest{10'000};  // and never passes this
  // What all retries of a process share: a retry costs `retry_cost`, a success gives 1 back. With these figures a storage that
  // refuses everything sees 100 retries and then one request per call, and one request in six may fail for ever.
  int budget = 500;
  int retry_cost = 5;
  std::uint64_t seed = 0;  // differs between processes, or they come back all at once
};

// When a request that failed may be sent again: after a random part of a ceiling that doubles ("full jitter"), as
// long as its attempts and the budget of the process last. Thread-safe; no clock.
class S3Retry {
 public:
  explicit S3Retry(const S3RetryOptions& options)
      : options_(options), random_(options.seed), budget_left_(options.budget) {}

  // How long to wait after attempt number `failed_attempts`, from 1; nullopt: give up.
  std::optional<std::chrono::milliseconds> DelayAfter(int failed_attempts);
  void OnSuccess();

 private:
  const S3RetryOptions options_;
  std::mutex mutex_;
  std::mt19937_64 random_;
  int budget_left_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_S3_RETRY_H_

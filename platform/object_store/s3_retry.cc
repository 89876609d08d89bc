#include "platform/object_store/s3_retry.h"

#include <algorithm>

namespace gptvq {

std::optional<std::chrono::milliseconds> S3Retry::DelayAfter(int failed_attempts) {
  const std::lock_guard lock(mutex_);
  if (failed_attempts >= options_.max_attempts || budget_left_ < options_.retry_cost) return std::nullopt;
  budget_left_ -= options_.retry_cost;
  std::chrono::milliseconds ceiling = options_.first;
  for (int i = 1; i < failed_attempts && ceiling < options_.longest; ++i) ceiling *= 2;
  ceiling = std::min(ceiling, options_.longest);
  return std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(0, ceiling.count())(random_));
}

void S3Retry::OnSuccess() {
  const std::lock_guard lock(mutex_);
  budget_left_ = std::min(budget_left_ + 1, options_.budget);
}

}  // namespace gptvq

#include "client/repetition.h"

#include <algorithm>

namespace gptvq {

Repetition::Repetition(const RepetitionOptions& options, const Clock& clock)
    : options_(options), clock_(clock), start_(clock.MonotonicNow()), pauses_(options.pauses) {}

std::optional<std::chrono::milliseconds> Repetition::NextPause(const absl::Status& status) {
  if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return std::nullopt;
  const std::chrono::milliseconds left = options_.at_most - elapsed();
  if (left.count() <= 0) return std::nullopt;
  ++pause_count_;
  return std::min(pauses_.Next(), left);
}

void Repetition::Restart() {
  start_ = clock_.MonotonicNow();
  pauses_ = Backoff(options_.pauses);
  pause_count_ = 0;
}

std::chrono::milliseconds Repetition::elapsed() const {
  return std::chrono::floor<std::chrono::milliseconds>(clock_.MonotonicNow() - start_);
}

}  // namespace gptvq

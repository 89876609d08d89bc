#ifndef GPTVQ_CLIENT_REPETITION_H_
#define GPTVQ_CLIENT_REPETITION_H_

#include <chrono>
#include <optional>

#include "absl/status/status.h"
#include "platform/backoff.h"
#include "platform/clock.h"

namespace gptvq {

struct RepetitionOptions {
  // From the first try to the last; 0: one try. By default ten times what it takes until a standby leads.
  std::chrono::milliseconds at_most{60'000};
  BackoffOptions pauses{.first = std::chrono::milliseconds(200), .longest = std::chrono::milliseconds(5'000)};
};

// When a call that nobody answers is made again. Borrows the clock, and does not wait itself. Thread-compatible.
class Repetition {
 public:
  Repetition(const RepetitionOptions& options, const Clock& clock);

  // After a try that ended with `status`: how long to wait before the next one; nullopt when `status` is an answer, whether
  // good or bad (all but Unavailable and DeadlineExceeded), or the time is up. The last try is made when the time is up.
  std::optional<std::chrono::milliseconds> NextPause(const absl::Status& status);

  // There was an answer: all begins again.
  void Restart();

  std::chrono::milliseconds at_most() const { return options_.at_most; }
  int pause_count() const { return pause_count_; }
  // Since the construction or the last restart.
  std::chrono::milliseconds elapsed() const;

 private:
  const RepetitionOptions options_;
  const Clock& clock_;
  MonotonicTime start_;
  Backoff pauses_;
  int pause_count_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_REPETITION_H_

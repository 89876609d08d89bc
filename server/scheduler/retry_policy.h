#ifndef GPTVQ_SERVER_SCHEDULER_RETRY_POLICY_H_
#define GPTVQ_SERVER_SCHEDULER_RETRY_POLICY_H_

#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

#include "platform/job/task.h"

namespace gptvq {

// How often a task may fail before it fails for good, and how long it rests in between. Counts begin anew whenever the task
// makes durable progress. Pure.
struct RetryPolicy {
  int max_transient = 4;   // failures of class TRANSIENT, and stalls
  int max_bug = 2;         // BUG: "retried twice"
  int max_lost = 5;        // leases that expired: a task that kills its host
  int max_uncounted = 64;  // INFRA and DEVICE are not the task's fault; bounded so that every job ends
  int max_missing = 3;     // attempts that found lost what they read, however often it was computed again
  int poison_workers = 3;  // so many different workers that fail it alike show that it is the task
  int poison_lost = 5;     // the same of lost leases, if so many in all
  std::chrono::milliseconds backoff_base{1'000};
  std::chrono::milliseconds backoff_cap{60'000};

  // What a reported failure does: kRetry, kFail (it would fail again) or kPoison (the budget is spent). Counts it.
  TaskTrigger JudgeFailure(FailureClass failure_class, FailureCounts& counts) const;

  // What a lost lease does: kExpire, or kPoison. Counts it.
  TaskTrigger JudgeLostLease(FailureCounts& counts) const;

  // What a stall does: kStall, or kPoison. Counts it.
  TaskTrigger JudgeStall(FailureCounts& counts) const;

  // What it does when the store lost what a task reads: kAwait, or kPoison. Counts it.
  TaskTrigger JudgeMissingInput(int& missing_inputs) const;

  // Whether it is the task that is at fault and not those who tried it: the same class, TRANSIENT or BUG, on `poison_workers`
  // different workers, or `poison_lost` lost leases on so many. `attempts` are those since the task last got further, on
  // workers that are trusted.
  bool IsPoison(const FailureCounts& counts, const std::vector<FailedAttempt>& attempts) const;

  // How long a task rests after its n-th failure in a row, n >= 1: base x 2^(n-1) up to the cap, half of it fixed and half
  // random ("equal jitter"; all of it random could be nothing). The same for the same seed, task and epoch.
  std::chrono::milliseconds Backoff(int failures, std::uint64_t seed, std::string_view task_id,
                                    std::int64_t epoch) const;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SCHEDULER_RETRY_POLICY_H_

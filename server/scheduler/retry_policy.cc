#include "server/scheduler/retry_policy.h"

#include <algorithm>
#include <set>

#include "core/base/philox.h"

namespace gptvq {
namespace {

TaskTrigger Count(int& count, int limit, TaskTrigger within_budget) {
  return ++count > limit ? TaskTrigger::kPoison : within_budget;
}

}  // namespace

TaskTrigger RetryPolicy::JudgeFailure(FailureClass failure_class, FailureCounts& counts) const {
  switch (failure_class) {
    case FailureClass::kInfra:
    case FailureClass::kDevice: return Count(counts.uncounted, max_uncounted, TaskTrigger::kRetry);
    case FailureClass::kTransient: return Count(counts.transient, max_transient, TaskTrigger::kRetry);
    case FailureClass::kBug: return Count(counts.bug, max_bug, TaskTrigger::kRetry);
    case FailureClass::kInput:
    case FailureClass::kFatal: return TaskTrigger::kFail;
  }
  return TaskTrigger::kFail;
}

TaskTrigger RetryPolicy::JudgeLostLease(FailureCounts& counts) const {
  return Count(counts.lost, max_lost, TaskTrigger::kExpire);
}

TaskTrigger RetryPolicy::JudgeStall(FailureCounts& counts) const {
  return Count(counts.transient, max_transient, TaskTrigger::kStall);
}

TaskTrigger RetryPolicy::JudgeMissingInput(int& missing_inputs) const {
  return Count(missing_inputs, max_missing, TaskTrigger::kAwait);
}

bool RetryPolicy::IsPoison(const FailureCounts& counts, const std::vector<FailedAttempt>& attempts) const {
  std::set<std::string_view> lost, transient, bug;
  for (const FailedAttempt& attempt : attempts) {
    if (attempt.lost) lost.insert(attempt.worker_name);
    if (attempt.failure_class == FailureClass::kTransient) transient.insert(attempt.worker_name);
    if (attempt.failure_class == FailureClass::kBug) bug.insert(attempt.worker_name);
  }
  const auto enough = [&](const auto& workers) { return static_cast<int>(workers.size()) >= poison_workers; };
  return enough(transient) || enough(bug) || (enough(lost) && counts.lost >= poison_lost);
}

std::chrono::milliseconds RetryPolicy::Backoff(int failures, std::uint64_t seed, std::string_view task_id,
                                               std::int64_t epoch) const {
  const int doublings = std::clamp(failures - 1, 0, 30);
  const std::int64_t whole = std::min(backoff_cap.count(), backoff_base.count() << doublings);
  const double random = Philox(seed, Philox::StreamOf(task_id)).Uniform(static_cast<std::uint64_t>(epoch));
  return std::chrono::milliseconds(whole / 2 +
                                   static_cast<std::int64_t>(static_cast<double>(whole - whole / 2) * random));
}

}  // namespace gptvq

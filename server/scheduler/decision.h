#ifndef GPTVQ_SERVER_SCHEDULER_DECISION_H_
#define GPTVQ_SERVER_SCHEDULER_DECISION_H_

#include <algorithm>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "platform/job/instant.h"
#include "platform/job/transition.h"
#include "server/scheduler/events.h"

namespace gptvq {

enum class Outcome {
  kDone,             // as asked
  kRepeated,         // was done before by an equal call; nothing changes
  kNothing,          // there was nothing to do: no task for the poll, no overdue lease for the tick, nothing to release
  kCancelRequested,  // RenewLease only: renewed, and the holder should stop
};

// A task's place in the order in which work is handed out: jobs in the order of submission, then plan order.
struct TaskKey {
  std::int64_t sequence = 0;  // of the job
  int index = 0;

  friend auto operator<=>(const TaskKey&, const TaskKey&) = default;
};

// What is known of a lease beyond the journal. After a restart it begins anew.
struct HeldLease {
  MonotonicTime expiry;
  TaskProgress progress;
  MonotonicTime progress_time;  // when `progress.counter` last rose
};

// What is known of a READY task beyond the journal. After a restart it begins anew.
struct Rest {
  MonotonicTime until;  // not granted before
  WorkerKey failed_on;  // and for a while longer not to this worker, if another one can take it
};

// The answer to an event, and everything it changes. `transition` is durable: it is journaled before the decision is
// applied. The rest lives in memory only.
struct Decision {
  Outcome outcome = Outcome::kDone;
  std::string task_id;         // the task that the event was about; for PollTask the one that was granted
  std::optional<TaskKey> key;  // the same
  Transition transition;
  std::optional<HeldLease> lease;                // of `key`, from now on
  std::optional<MonotonicTime> earliest_expiry;  // of every held lease, from now on
  std::optional<Rest> rest;                      // of `key`, if the transition makes it READY
  std::optional<RegisterWorker> registered;
  std::optional<WorkerKey> caller;          // a worker that gave a sign of life
  std::vector<DeviceHealth> devices;        // of the caller, from now on; empty: as before
  std::optional<std::string> probed;        // a suspect that was given a task
  std::vector<AuditOutcome> findings = {};  // of audits that ended by it
  bool distrust_ended = false;              // the workers that it changes are as trusted as before
  Instant time;
};

// Whether it shows that two workers came to different bytes.
inline bool ShowsNondeterminism(const Decision& decision) {
  return std::any_of(decision.transition.events.begin(), decision.transition.events.end(), [](const JobEvent& event) {
    const auto* task = std::get_if<TaskStateChange>(&event.what);
    return task != nullptr && (task->trigger == TaskTrigger::kDispute || task->trigger == TaskTrigger::kOverturn);
  });
}

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SCHEDULER_DECISION_H_

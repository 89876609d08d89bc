#ifndef GPTVQ_SERVER_SCHEDULER_HELD_WORK_H_
#define GPTVQ_SERVER_SCHEDULER_HELD_WORK_H_

#include "absl/status/status.h"
#include "server/scheduler/events.h"

namespace gptvq {

// What the decisions about a holder's reports have in common. Pure.

WorkerKey HolderOf(const Lease& lease);

// What the holder of a task is granted: an audit as the kind of task that it does again.
TaskKind GrantedKind(const JobSnapshot& job, const TaskDescription& task);

// The first layer of a quantize task, or of an audit, that has to be computed, never published or lost; the end of its range if there
// is none.
int NextLayer(const JobSnapshot& job, const Task& task);

// NOT_HELD, saying what the task is instead.
absl::Status NotHeld(const Task& task);
// JOB_CANCELLED.
absl::Status JobCancelled(const JobSnapshot& job);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SCHEDULER_HELD_WORK_H_

#ifndef GPTVQ_SERVER_GRANT_H_
#define GPTVQ_SERVER_GRANT_H_

#include <chrono>
#include <vector>

#include "platform/job/job.h"
#include "platform/job/lease.h"
#include "server/scheduler/events.h"

namespace gptvq {

// Whether a task is LEASED to a poll: what was granted may be lost again before the poll is told. Pure.
bool IsLeasedTo(const TaskStatus& status, const PollTask& poll);

// What the holder of task `index` of `job` needs to run it; everything but the lease token. Pure.
// `layers`: the published layers of the job with their reports; read for finalize tasks only.
// Precondition: the task is LEASED, and what it depends on was committed.
TaskGrant MakeGrant(const JobSnapshot& job, int index, std::chrono::milliseconds ttl,
                    const std::vector<PublishedLayer>& layers);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_GRANT_H_

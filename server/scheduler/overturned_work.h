#ifndef GPTVQ_SERVER_SCHEDULER_OVERTURNED_WORK_H_
#define GPTVQ_SERVER_SCHEDULER_OVERTURNED_WORK_H_

#include <optional>
#include <set>
#include <string>

#include "server/scheduler/job_step.h"

namespace gptvq {

// Committed work that is made again although the store has it: T15 with other digests (docs/protocol.md, "Audits"). Everything looks
// at the job as it is in `step`, and changes nothing else. Pure.

// The task that audits task `index`; nullopt: none does.
std::optional<int> AuditOf(const JobSnapshot& job, int index);

// What its earlier runs met says nothing about the next one.
void BeginAnew(TaskStatus& status);

// The task is made again from layer `from` of its shard on; the end of the shard stands for its boundary alone. One for which that
// was so too often fails. `why` is for people.
void Overturn(const JobSnapshot& job, int index, int from, const std::string& why, JobStep& step);

// The boundary that task `index` committed is another than before: whatever was made from the old one is made again, from its first
// layer, and audited anew.
void OverturnReaders(const JobSnapshot& job, int index, JobStep& step);

// What `workers` made of a job and nobody has verified is made again, but for a task that was just judged by itself; nothing of a
// job whose finalize task was granted, because its checkpoint may be on the way to its output. Returns how many tasks that are.
int OverturnWorkOf(const JobSnapshot& job, const std::set<std::string>& workers, std::optional<int> judged,
                   JobStep& step);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SCHEDULER_OVERTURNED_WORK_H_

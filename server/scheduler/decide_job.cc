// Submission and cancellation of jobs.

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"
#include "server/scheduler/job_step.h"
#include "server/scheduler/scheduler.h"

namespace gptvq {

absl::StatusOr<Decision> Scheduler::DecideOn(const SubmitJob& event, Instant now) const {
  Decision decision;
  if (const JobSnapshot* known = FindJob(event.job.job_id)) {
    if (IsRepetition(known->description, event.job)) {
      decision.outcome = Outcome::kRepeated;
      return decision;
    }
    return Refuse(ErrorReason::kIdempotencyMismatch, absl::StrCat("request id ", event.job.request_id,
                                                                  " was used for another spec, as ", event.job.job_id));
  }
  const int active_jobs = static_cast<int>(jobs_.size() - ended_.size());
  std::size_t active_tasks = event.tasks.size();
  for (const auto& [sequence, job] : jobs_) active_tasks += IsTerminal(job.status.state) ? 0 : job.tasks.size();
  if (active_jobs >= options_.max_active_jobs || active_tasks > static_cast<std::size_t>(options_.max_active_tasks)) {
    return Refuse(ErrorReason::kTooManyJobs,
                  absl::StrCat(active_jobs, " jobs are active; at most ", options_.max_active_jobs, " jobs and ",
                               options_.max_active_tasks, " tasks may be. Wait for one to end, or cancel one"));
  }

  JobSnapshot job;
  job.description = event.job;
  job.description.sequence = last_sequence_ + 1;
  job.description.create_time = now.wall;
  job.description.task_count = static_cast<int>(event.tasks.size());
  job.status.revision = 1;
  job.layers.resize(event.job.layer_count);
  for (const TaskDescription& description : event.tasks) {
    Task task = {description, {}};
    task.status.revision = 1;
    task.status.state = description.dependencies.empty() ? TaskState::kReady : TaskState::kBlocked;
    job.tasks.push_back(std::move(task));
  }
  decision.transition.job_id = event.job.job_id;
  decision.transition.created = std::move(job);
  return decision;
}

absl::StatusOr<Decision> Scheduler::DecideOn(const CancelJob& event, Instant now) const {
  const JobSnapshot* job = FindJob(event.job_id);
  if (job == nullptr) return Refuse(ErrorReason::kJobUnknown, absl::StrCat("no job ", event.job_id));
  Decision decision;
  switch (job->status.state) {
    case JobState::kPending:
    case JobState::kRunning:
    case JobState::kFinalizing: break;
    case JobState::kFailing:  // ends anyway
    case JobState::kCancelling:
    case JobState::kSucceeded:
    case JobState::kFailed:
    case JobState::kCancelled: {
      decision.outcome = Outcome::kRepeated;
      return decision;
    }
  }
  JobStep step(*job, now.wall);
  step.RequestCancellation();
  decision.transition = step.Finish();
  return decision;
}

}  // namespace gptvq

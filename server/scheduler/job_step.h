#ifndef GPTVQ_SERVER_SCHEDULER_JOB_STEP_H_
#define GPTVQ_SERVER_SCHEDULER_JOB_STEP_H_

#include <map>
#include <optional>
#include <vector>

#include "platform/job/transition.h"
#include "server/scheduler/events.h"

namespace gptvq {

// Nothing is kept of the layer in progress any more: it is published, or nobody will work on it.
void ForgetCheckpoint(TaskStatus& status);

// Builds the transition of one job: moves tasks by the transition table, then draws the consequences for the other tasks
// and for the job, writing an event for every change. Pure: the job it borrows is not changed. Thread-compatible; used once.
class JobStep {
 public:
  JobStep(const JobSnapshot& job, WallTime now);

  // Moves a task. Precondition: the table has an entry for its present state and `trigger`, which is neither kGrant nor
  // kRenew (a renewal changes nothing durable). Returns its new status, to be filled in further.
  TaskStatus& MoveTask(int index, TaskTrigger trigger, std::optional<TaskFailure> failure = std::nullopt);

  // Leases a READY task: the next epoch of this generation, the next attempt, this holder.
  void GrantTask(int index, std::int64_t generation, const WorkerKey& worker, const std::string& poll_id);

  // A task's status in this step.
  const TaskStatus& StatusOf(int index) const;

  // The same, to be changed further. Precondition: this step moved it.
  TaskStatus& MutableStatusOf(int index) { return moved_.at(index); }

  // Adds a layer that task `index`, after kPublish, committed.
  void AddLayer(int index, PublishedLayer layer);

  // As if it had never been published. Precondition: it is, and this step adds no layer.
  void DropLayer(int layer);

  // The job runs on this class from now on.
  void PinNumericsClass(const std::string& numerics_class);

  // The client wants the job to end. Precondition: not terminal.
  void RequestCancellation();

  // Draws the consequences and returns the transition.
  Transition Finish();

 private:
  TaskStatus& ChangeState(int index, TaskTrigger trigger);
  JobStatus& MutableJob();
  const JobStatus& job_status() const;
  void MoveJob(JobState to);
  bool AreCommitted(const std::vector<int>& tasks) const;
  void BlockTasks();
  void UnblockTasks();
  void CancelOpenTasks();
  void FailJob(int failed_index);
  void SettleJobState();
  bool AnyTask(bool (*predicate)(TaskState)) const;
  bool AllTasks(std::optional<TaskKind> kind, TaskState state) const;
  void AddEvent(decltype(JobEvent::what) what);

  const JobSnapshot& job_;
  const WallTime now_;
  std::map<int, TaskStatus> moved_;  // by task index
  Transition transition_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SCHEDULER_JOB_STEP_H_

#include "server/scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"

namespace gptvq {
namespace {

// A worker that was silent for so many lease periods is not listed any more; it registers again when it comes back.
constexpr int kForgetAfterTtls = 10;

}  // namespace

void Scheduler::Restore(Memory memory, Instant instant) {
  const MonotonicTime now = instant.monotonic;
  jobs_.clear();
  sequence_of_.clear();
  held_.clear();
  ready_.clear();
  ended_.clear();
  standings_.clear();
  last_sequence_ = memory.last_sequence;
  heard_since_ = now;
  generation_ = memory.generation;
  for (const WorkerRecord& record : memory.workers) {
    WorkerStanding& standing = standings_[record.name];
    standing = {record, QuarantineEnd(record, instant), now};
  }
  for (JobSnapshot& job : memory.jobs) {
    const std::int64_t sequence = job.description.sequence;
    for (const Task& task : job.tasks) {
      const TaskKey key = {sequence, task.description.index};
      if (IsHeld(task.status.state)) held_[key] = {now + options_.lease_ttl, {}, now};
      if (task.status.state == TaskState::kReady) ready_[key] = {now, {}};
    }
    sequence_of_[job.description.job_id] = sequence;
    jobs_.emplace(sequence, std::move(job));
  }
}

absl::StatusOr<Decision> Scheduler::Decide(const Event& event, Instant now) const {
  DecisionOr decision = std::visit([&](const auto& one) { return DecideOn(one, now); }, event);
  if (decision.ok()) decision->time = now;
  return decision;
}

void Scheduler::Apply(const Decision& decision) {
  if (!decision.transition.job_id.empty()) ApplyJob(decision);
  ApplyWorkers(decision);
  if (decision.lease) held_.at(*decision.key) = *decision.lease;
  if (decision.earliest_expiry) {
    for (auto& [key, lease] : held_) {
      lease.expiry = std::max(lease.expiry, *decision.earliest_expiry);
      lease.progress_time = decision.time.monotonic;
    }
    heard_since_ = decision.time.monotonic;
  }
  if (decision.registered) {
    workers_[decision.registered->worker] = {*decision.registered, decision.time.wall, decision.time.monotonic};
  }
  if (decision.caller) {
    const auto worker = workers_.find(*decision.caller);
    if (worker != workers_.end()) {
      worker->second.last_call = decision.time.monotonic;
      if (!decision.devices.empty()) worker->second.registration.devices = decision.devices;
    }
  }
  ForgetSilentWorkers(decision.time.monotonic);
}

void Scheduler::ApplyJob(const Decision& decision) {
  const Transition& transition = decision.transition;
  if (transition.created) {
    const std::int64_t sequence = transition.created->description.sequence;
    last_sequence_ = sequence;
    sequence_of_[transition.job_id] = sequence;
    jobs_[sequence] = *transition.created;
    for (const Task& task : transition.created->tasks) {
      ApplyTaskState({sequence, task.description.index}, task.status.state, decision);
    }
    return;
  }
  const std::int64_t sequence = sequence_of_.at(transition.job_id);
  JobSnapshot& job = jobs_.at(sequence);
  for (const Transition::TaskChange& change : transition.tasks) {
    job.tasks[change.index].status = change.status;
    ApplyTaskState({sequence, change.index}, change.status.state, decision);
  }
  for (int layer : transition.overturned_layers) job.layers[layer] = Digest();
  if (transition.layer) job.layers[transition.layer->layer.layer] = transition.layer->layer.artifact;
  if (transition.job) job.status = *transition.job;
  if (IsTerminal(job.status.state)) RetireJob(sequence);
}

void Scheduler::ApplyWorkers(const Decision& decision) {
  for (const WorkerRecord& record : decision.transition.workers) {
    if (IsBlank(record)) {
      standings_.erase(record.name);
      continue;
    }
    WorkerStanding& standing = standings_[record.name];
    const bool newly_suspect = record.trust == WorkerTrust::kSuspect && standing.record.trust != WorkerTrust::kSuspect;
    if (newly_suspect) standing.next_probe = decision.time.monotonic + options_.trust.probe_period;
    const bool goes_on = record.trust == WorkerTrust::kQuarantined &&
                         standing.record.trust == WorkerTrust::kQuarantined &&
                         standing.record.quarantine_end == record.quarantine_end;
    standing.record = record;
    if (!goes_on) standing.quarantine_end = QuarantineEnd(record, decision.time);
  }
  if (!decision.probed) return;
  const auto probed = standings_.find(*decision.probed);
  if (probed != standings_.end()) probed->second.next_probe = decision.time.monotonic + options_.trust.probe_period;
}

// The wall clock counts only while nobody else does: within a process the end is fixed when the quarantine begins.
MonotonicTime Scheduler::QuarantineEnd(const WorkerRecord& record, Instant now) const {
  if (record.trust != WorkerTrust::kQuarantined || !record.quarantine_end) return now.monotonic;
  const auto left = std::clamp<std::chrono::nanoseconds>(*record.quarantine_end - now.wall, std::chrono::nanoseconds(0),
                                                         options_.trust.longest_quarantine);
  return now.monotonic + left;
}

void Scheduler::ApplyTaskState(TaskKey key, TaskState state, const Decision& decision) {
  if (state == TaskState::kReady) {
    const bool failed = decision.rest && decision.key == key;
    ready_[key] = failed ? *decision.rest : Rest{decision.time.monotonic, {}};
  } else {
    ready_.erase(key);
  }
  if (IsHeld(state)) {
    held_.try_emplace(key);  // a new grant; Apply fills it in
  } else {
    held_.erase(key);
  }
}

void Scheduler::RetireJob(std::int64_t sequence) {
  ended_.push_back(sequence);
  while (static_cast<int>(ended_.size()) > options_.retained_jobs) {
    const auto oldest = jobs_.find(ended_.front());
    sequence_of_.erase(oldest->second.description.job_id);
    jobs_.erase(oldest);
    ended_.pop_front();
  }
}

void Scheduler::ForgetSilentWorkers(MonotonicTime now) {
  std::erase_if(workers_, [&](const auto& entry) {
    return now - entry.second.last_call > kForgetAfterTtls * options_.lease_ttl;
  });
}

const JobSnapshot* Scheduler::FindJob(std::string_view job_id) const {
  const auto sequence = sequence_of_.find(job_id);
  return sequence == sequence_of_.end() ? nullptr : &jobs_.at(sequence->second);
}

absl::StatusOr<Scheduler::FoundTask> Scheduler::FindTask(std::string_view task_id) const {
  const JobSnapshot* job = FindJob(JobIdOf(task_id));
  if (job != nullptr) {
    const auto task = std::find_if(job->tasks.begin(), job->tasks.end(),
                                   [&](const Task& one) { return one.description.task_id == task_id; });
    if (task != job->tasks.end()) {
      return FoundTask{job, &*task, {job->description.sequence, task->description.index}};
    }
  }
  return Refuse(ErrorReason::kTaskUnknown, absl::StrCat("no task ", std::string(task_id)));
}

absl::Status Scheduler::CheckHolder(const Lease& lease) const {
  GPTVQ_ASSIGN_OR_RETURN(const FoundTask found, FindGranted(lease));
  const TaskState state = found.task->status.state;
  if (IsHeld(state)) return absl::OkStatus();
  return Refuse(ErrorReason::kNotHeld,
                absl::StrCat("task ", lease.task_id, " is ", std::string(Name(state)), ", not held by anybody"));
}

absl::StatusOr<Scheduler::FoundTask> Scheduler::FindGranted(const Lease& lease) const {
  GPTVQ_ASSIGN_OR_RETURN(const FoundTask found, FindTask(lease.task_id));
  const TaskStatus& status = found.task->status;
  // Of an earlier generation, it was granted in a history that the journal has lost, and knows that it has.
  if (lease.epoch > status.epoch && GenerationOf(lease.epoch) >= generation_) {
    return Refuse(ErrorReason::kRollbackSuspected,
                  absl::StrCat("task ", lease.task_id, ": epoch ", lease.epoch, " was never granted, the latest is ",
                               status.epoch, "; the journal may have been replaced by an older one"));
  }
  if (lease.epoch != status.epoch || lease.worker_name != status.worker_name ||
      lease.incarnation != status.incarnation) {
    return Refuse(ErrorReason::kStaleEpoch, absl::StrCat("task ", lease.task_id, " was granted to ", status.worker_name,
                                                         " under epoch ", status.epoch, " since epoch ", lease.epoch));
  }
  return found;
}

}  // namespace gptvq

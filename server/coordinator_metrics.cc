#include "server/coordinator_metrics.h"

#include <string>

namespace gptvq {
namespace {

// 50 us to 1.6 s, doubling: a journal entry is one fsync.
std::vector<double> JournalSeconds() {
  std::vector<double> boundaries;
  for (double seconds = 50e-6; seconds < 2; seconds *= 2) boundaries.push_back(seconds);
  return boundaries;
}

}  // namespace

CoordinatorMetrics::CoordinatorMetrics(MetricsRegistry& registry)
    : published_bytes(registry.AddCounter("published_bytes_total", "Bytes of packed layers that were received.")),
      journal_seconds(registry.AddHistogram("decision_seconds", "From taking the lock to the durable journal entry.",
                                            JournalSeconds())),
      waiting_polls(registry.AddGauge("waiting_polls", "Polls of workers that wait for a task.")),
      watchers(registry.AddGauge("watchers", "Clients that watch a job.")),
      uploads(registry.AddGauge("uploads", "Layers being received.")),
      registry_(registry),
      leases_granted_(registry.AddCounter("leases_granted_total", "Tasks that were given to a worker.")),
      leases_expired_(
          registry.AddCounter("leases_expired_total", "Leases that ended because their holder was silent.")),
      layers_published_(registry.AddCounter("layers_published_total", "Layers that were committed.")),
      relative_error_(registry.AddHistogram("linear_relative_error", "tr(E H E^T) / tr(W H W^T) of published linears.",
                                            buckets::RelativeErrors())),
      workers_(registry.AddGauge("workers", "Workers that called lately.")) {
  for (JobState state : kAllJobStates) {
    const MetricLabels labels = {{"state", std::string(Name(state))}};
    if (IsTerminal(state)) {
      jobs_ended_[state] = &registry.AddCounter("jobs_ended_total", "Jobs that ended.", labels);
    } else {
      jobs_[state] = &registry.AddGauge("jobs", "Jobs that have not ended.", labels);
    }
  }
  for (TaskKind kind : kAllTaskKinds) {
    for (TaskState state : kAllTaskStates) {
      tasks_[{kind, state}] =
          &registry.AddGauge("tasks", "Tasks of jobs that have not ended.",
                             {{"kind", std::string(Name(kind))}, {"state", std::string(Name(state))}});
    }
  }
  for (TaskTrigger trigger : kAllTaskTriggers) {
    task_changes_[trigger] =
        &registry.AddCounter("task_changes_total", "Changes of a task's state, by what caused them.",
                             {{"trigger", std::string(Name(trigger))}});
  }
  for (TaskPhase phase : kAllTaskPhases) {
    phase_seconds_[phase] = &registry.AddCounter("task_phase_seconds_total", "Wall time that committed tasks report.",
                                                 {{"phase", std::string(Name(phase))}});
  }
}

void CoordinatorMetrics::CountDecision(const Decision& decision) {
  const Transition& transition = decision.transition;
  for (const JobEvent& event : transition.events) CountEvent(event);
  if (transition.layer) {
    layers_published_.Increment();
    for (const LinearReport& linear : transition.layer->layer.linears) relative_error_.Observe(linear.relative_error);
  }
  for (const Transition::TaskChange& change : transition.tasks) {
    if (!change.status.result) continue;
    for (const TaskPhaseSeconds& entry : change.status.result->seconds) {
      phase_seconds_.at(entry.phase)->Increment(entry.seconds);
    }
  }
}

void CoordinatorMetrics::CountEvent(const JobEvent& event) {
  if (const auto* task = std::get_if<TaskStateChange>(&event.what)) {
    task_changes_.at(task->trigger)->Increment();
    if (task->trigger == TaskTrigger::kGrant) leases_granted_.Increment();
    if (task->trigger == TaskTrigger::kExpire) leases_expired_.Increment();
  } else if (const auto* job = std::get_if<JobStateChange>(&event.what)) {
    if (IsTerminal(job->to)) jobs_ended_.at(job->to)->Increment();
  }
}

void CoordinatorMetrics::ShowStanding(const Scheduler& scheduler) {
  std::map<JobState, int> jobs;
  std::map<std::pair<TaskKind, TaskState>, int> tasks;
  for (const auto& [sequence, job] : scheduler.jobs()) {
    if (IsTerminal(job.status.state)) continue;
    ++jobs[job.status.state];
    for (const Task& task : job.tasks) ++tasks[{task.description.kind, task.status.state}];
  }
  for (const auto& [state, gauge] : jobs_) gauge->Set(jobs[state]);
  for (const auto& [key, gauge] : tasks_) gauge->Set(tasks[key]);
  workers_.Set(static_cast<double>(scheduler.workers().size()));
}

void CoordinatorMetrics::CountCall(std::string_view method, const absl::Status& status,
                                   std::chrono::nanoseconds duration) {
  const std::string name(method);
  registry_
      .AddCounter("calls_total", "Calls of the services, by method and status code.",
                  {{"method", name}, {"code", absl::StatusCodeToString(status.code())}})
      .Increment();
  registry_.AddHistogram("call_seconds", "Time spent answering a call.", buckets::RpcSeconds(), {{"method", name}})
      .Observe(std::chrono::duration<double>(duration).count());
}

}  // namespace gptvq

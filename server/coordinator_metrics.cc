#include "server/coordinator_metrics.h"

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#include "core/model/linear_role.h"

namespace gptvq {
namespace {

// Every method of both services: a rate needs a series before its first call.
constexpr std::array<std::string_view, 18> kMethods = {
    "CancelJob",      "CheckpointTask", "CompleteTask",  "FailTask",    "GetCapabilities", "GetJob",
    "GetReport",      "LeaseTask",      "ListJobs",      "ListWorkers", "PublishLayer",    "QueryUpload",
    "RegisterWorker", "ReleaseTask",    "ReleaseWorker", "RenewLease",  "SubmitJob",       "WatchJob"};

constexpr std::string_view kOtherRole = "other";  // of an architecture with more than the seven

// 50 us to 1.6 s, doubling: a journal entry is one fsync.
std::vector<double> JournalSeconds() {
  std::vector<double> boundaries;
  for (double seconds = 50e-6; seconds < 2; seconds *= 2) boundaries.push_back(seconds);
  return boundaries;
}

std::string_view Name(HessianPolicy policy) {
  switch (policy) {
    case HessianPolicy::kFull: return "full";
    case HessianPolicy::kDiagonalOnly: return "diagonal_only";
  }
  return "";
}

Counter& CallCounter(MetricsRegistry& registry, std::string_view method, absl::StatusCode code) {
  return registry.AddCounter("calls_total", "Calls of the services, by method and status code.",
                             {{"method", std::string(method)}, {"code", absl::StatusCodeToString(code)}});
}

Histogram& CallSecondsHistogram(MetricsRegistry& registry, std::string_view method) {
  return registry.AddHistogram("call_seconds", "Time spent answering a call; LeaseTask and WatchJob wait for news.",
                               buckets::RpcSeconds(), {{"method", std::string(method)}});
}

Histogram& RelativeErrorHistogram(MetricsRegistry& registry, std::string_view role) {
  return registry.AddHistogram("linear_relative_error", "tr(E H E^T) / tr(W H W^T) of committed linears.",
                               buckets::RelativeErrors(), {{"role", std::string(role)}});
}

}  // namespace

CoordinatorMetrics::CoordinatorMetrics(MetricsRegistry& registry)
    : published_bytes(registry.AddCounter("published_bytes_total", "Bytes of packed layers that were received.")),
      lost_artifacts(
          registry.AddCounter("artifacts_lost_total",
                              "Artifacts that were gone or damaged when a task read them, and are computed again.")),
      journal_seconds(registry.AddHistogram("decision_seconds", "From taking the lock to the durable journal entry.",
                                            JournalSeconds())),
      rollbacks(registry.AddCounter("rollbacks_suspected_total",
                                    "Calls that showed an epoch which the journal does not know: it went back.")),
      generation(registry.AddGauge("journal_generation",
                                   "Generation of the journal; greater when it was restored, moved, or went back.")),
      ready(registry.AddGauge("ready", "1 while this coordinator leads and its journal answers, else 0.")),
      waiting_polls(registry.AddGauge("waiting_polls", "Polls of workers that wait for a task.")),
      watchers(registry.AddGauge("watchers", "Clients that watch a job.")),
      uploads(registry.AddGauge("uploads", "Layers being received.")),
      registry_(registry),
      job_metrics_(registry),
      leases_granted_(registry.AddCounter("leases_granted_total", "Tasks that were given to a worker.")),
      leases_expired_(
          registry.AddCounter("leases_expired_total", "Leases that ended because their holder was silent.")),
      layers_published_(registry.AddCounter("layers_published_total", "Layers that were committed.")),
      published_weights_(registry.AddCounter("published_weights_total", "Weights of committed linears.")),
      packed_bytes_(registry.AddCounter("packed_bytes_total", "Bytes that committed linears occupy when packed.")),
      quarantines_(registry.AddCounter("quarantines_total", "Workers that were put in quarantine.")),
      workers_quarantined_(registry.AddGauge("workers_quarantined", "Workers that get no work because they fail.")),
      workers_suspect_(
          registry.AddGauge("workers_suspect", "Workers that fail while as many as may be are in quarantine already.")),
      stopped_classes_(registry.AddGauge("stopped_classes",
                                         "Numerics classes that get no work because too many of their workers fail.")),
      workers_(registry.AddGauge("workers", "Workers that called lately.")),
      slots_(registry.AddGauge("slots", "Device slots of the workers that called lately.")) {
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
  for (FailureClass failure : kAllFailureClasses) {
    task_failures_[failure] =
        &registry.AddCounter("task_failures_total", "Failures of tasks by class; an expired lease is one of infra.",
                             {{"class", std::string(Name(failure))}});
  }
  for (AuditOutcome outcome : kAllAuditOutcomes) {
    audits_[outcome] =
        &registry.AddCounter("audits_total", "Tasks that were to be done a second time, by what came of it.",
                             {{"outcome", std::string(Name(outcome))}});
  }
  for (TaskPhase phase : kAllTaskPhases) {
    phase_seconds_[phase] = &registry.AddCounter("task_phase_seconds_total", "Wall time that committed tasks report.",
                                                 {{"phase", std::string(Name(phase))}});
  }
  for (HessianPolicy policy : {HessianPolicy::kFull, HessianPolicy::kDiagonalOnly}) {
    linears_published_[policy] =
        &registry.AddCounter("linears_published_total", "Linears that were committed, by the Hessian that served.",
                             {{"hessian", std::string(Name(policy))}});
  }
  for (LinearRole role : kLinearRoles) {
    relative_error_[std::string(Name(role))] = &RelativeErrorHistogram(registry, Name(role));
  }
  relative_error_[std::string(kOtherRole)] = &RelativeErrorHistogram(registry, kOtherRole);
  for (std::string_view method : kMethods) {
    CallCounter(registry, method, absl::StatusCode::kOk);
    CallSecondsHistogram(registry, method);
  }
}

void CoordinatorMetrics::CountDecision(const Decision& decision) {
  const Transition& transition = decision.transition;
  for (const JobEvent& event : transition.events) CountEvent(event);
  for (const WorkerRecord& record : transition.workers) {
    // Nothing else changes such a row.
    if (record.trust == WorkerTrust::kQuarantined && !decision.distrust_ended) quarantines_.Increment();
  }
  for (AuditOutcome outcome : decision.findings) audits_.at(outcome)->Increment();
  if (transition.layer) {
    CountLayer(transition.layer->layer);
    job_metrics_.AddLayer(transition.job_id, transition.layer->layer);
  }
  for (const Transition::TaskChange& change : transition.tasks) {
    if (change.status.state != TaskState::kCommitted || !change.status.result) continue;
    for (const TaskPhaseSeconds& entry : change.status.result->seconds) {
      phase_seconds_.at(entry.phase)->Increment(entry.seconds);
    }
  }
}

void CoordinatorMetrics::ShowTrust(const Scheduler& scheduler, MonotonicTime now) {
  std::map<WorkerTrust, int> workers;
  for (const auto& [name, standing] : scheduler.standings()) ++workers[TrustAt(standing, now)];
  workers_quarantined_.Set(workers[WorkerTrust::kQuarantined]);
  workers_suspect_.Set(workers[WorkerTrust::kSuspect]);
  stopped_classes_.Set(static_cast<double>(scheduler.StoppedClasses().size()));
}

void CoordinatorMetrics::CountEvent(const JobEvent& event) {
  if (const auto* task = std::get_if<TaskStateChange>(&event.what)) {
    task_changes_.at(task->trigger)->Increment();
    if (task->trigger == TaskTrigger::kGrant) leases_granted_.Increment();
    if (task->trigger == TaskTrigger::kExpire) leases_expired_.Increment();
    if (task->failure) task_failures_.at(task->failure->failure_class)->Increment();
  } else if (const auto* job = std::get_if<JobStateChange>(&event.what)) {
    if (IsTerminal(job->to)) jobs_ended_.at(job->to)->Increment();
  }
}

void CoordinatorMetrics::CountLayer(const PublishedLayer& layer) {
  layers_published_.Increment();
  for (const LinearReport& linear : layer.linears) {
    const std::optional<LinearRole> role = RoleOf(linear.name);
    relative_error_.find(role ? Name(*role) : kOtherRole)->second->Observe(linear.relative_error);
    linears_published_.at(linear.hessian_policy)->Increment();
    published_weights_.Increment(static_cast<double>(linear.bits.weights));
    packed_bytes_.Increment(static_cast<double>(linear.bits.total_bits()) / 8);
  }
}

void CoordinatorMetrics::ShowStanding(const Scheduler& scheduler, Instant now) {
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
  std::size_t slots = 0;
  for (const auto& [key, presence] : scheduler.workers()) slots += presence.registration.slots.size();
  slots_.Set(static_cast<double>(slots));
  generation.Set(static_cast<double>(scheduler.generation()));
  ShowTrust(scheduler, now.monotonic);
  job_metrics_.Show(scheduler, now);
}

void CoordinatorMetrics::CountCall(std::string_view method, const absl::Status& status,
                                   std::chrono::nanoseconds duration) {
  CallCounter(registry_, method, status.code()).Increment();
  CallSecondsHistogram(registry_, method).Observe(std::chrono::duration<double>(duration).count());
}

void AddDiskMetrics(MetricsRegistry& registry, const std::string& data_directory) {
  const auto space = [data_directory] {
    std::error_code error;
    const std::filesystem::space_info info = std::filesystem::space(data_directory, error);
    return error ? std::filesystem::space_info{} : info;
  };
  registry.AddGaugeReader("data_directory_bytes", "Size of the file system that holds the journal.",
                          [space] { return static_cast<double>(space().capacity); });
  registry.AddGaugeReader("data_directory_free_bytes", "What is free on the file system that holds the journal.",
                          [space] { return static_cast<double>(space().available); });
}

}  // namespace gptvq

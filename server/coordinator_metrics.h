#ifndef GPTVQ_SERVER_COORDINATOR_METRICS_H_
#define GPTVQ_SERVER_COORDINATOR_METRICS_H_

#include <chrono>
#include <map>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "platform/metrics.h"
#include "server/scheduler/scheduler.h"

namespace gptvq {

// What the coordinator exports as gptvq_coordinator_*. Labels are states, kinds, phases, triggers, methods and codes, never
// ids or names. Thread-safe. Borrows the registry.
class CoordinatorMetrics {
 public:
  explicit CoordinatorMetrics(MetricsRegistry& registry);

  // What a decision did.
  void CountDecision(const Decision& decision);
  // How many jobs, tasks and workers stand how, now.
  void ShowStanding(const Scheduler& scheduler);
  // One call of a service.
  void CountCall(std::string_view method, const absl::Status& status, std::chrono::nanoseconds duration);

  Counter& published_bytes;
  Histogram& journal_seconds;
  Gauge& waiting_polls;
  Gauge& watchers;
  Gauge& uploads;

 private:
  void CountEvent(const JobEvent& event);

  MetricsRegistry& registry_;
  std::map<JobState, Gauge*> jobs_;  // that have not ended
  std::map<JobState, Counter*> jobs_ended_;
  std::map<std::pair<TaskKind, TaskState>, Gauge*> tasks_;  // of jobs that have not ended
  std::map<TaskTrigger, Counter*> task_changes_;
  std::map<TaskPhase, Counter*> phase_seconds_;
  Counter& leases_granted_;
  Counter& leases_expired_;
  Counter& layers_published_;
  Histogram& relative_error_;
  Gauge& workers_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_COORDINATOR_METRICS_H_

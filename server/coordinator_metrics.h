#ifndef GPTVQ_SERVER_COORDINATOR_METRICS_H_
#define GPTVQ_SERVER_COORDINATOR_METRICS_H_

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "platform/job/instant.h"
#include "platform/metrics.h"
#include "server/job_metrics.h"
#include "server/scheduler/scheduler.h"

namespace gptvq {

// What the coordinator exports as gptvq_coordinator_*. Labels are states, kinds, phases, triggers, roles, methods and codes,
// never ids or names; the exception is JobMetrics, which is bounded. Registers everything when built, so that every series
// of a closed set is there from the first scrape. Borrows the registry. Thread-safe, but for the methods that say otherwise.
class CoordinatorMetrics {
 public:
  explicit CoordinatorMetrics(MetricsRegistry& registry);

  // The three below: one thread at a time.

  // What a decision did.
  void CountDecision(const Decision& decision);
  // How jobs, tasks and workers stand, now.
  void ShowStanding(const Scheduler& scheduler, Instant now);
  // All layers of a job as the journal has them, after others wrote it: shown with the job, not counted.
  void RecallLayers(const std::string& job_id, const std::vector<PublishedLayer>& layers) {
    job_metrics_.ReplaceLayers(job_id, layers);
  }

  // One call of a service.
  void CountCall(std::string_view method, const absl::Status& status, std::chrono::nanoseconds duration);

  Counter& published_bytes;
  Counter& lost_artifacts;
  Histogram& journal_seconds;
  Counter& rollbacks;
  Gauge& generation;
  Gauge& ready;
  Gauge& waiting_polls;
  Gauge& watchers;
  Gauge& uploads;

 private:
  void CountEvent(const JobEvent& event);
  void ShowTrust(const Scheduler& scheduler, MonotonicTime now);
  void CountLayer(const PublishedLayer& layer);

  MetricsRegistry& registry_;
  JobMetrics job_metrics_;
  std::map<JobState, Gauge*> jobs_;  // that have not ended
  std::map<JobState, Counter*> jobs_ended_;
  std::map<std::pair<TaskKind, TaskState>, Gauge*> tasks_;  // of jobs that have not ended
  std::map<TaskTrigger, Counter*> task_changes_;
  std::map<FailureClass, Counter*> task_failures_;
  std::map<AuditOutcome, Counter*> audits_;
  std::map<TaskPhase, Counter*> phase_seconds_;
  std::map<HessianPolicy, Counter*> linears_published_;
  std::map<std::string, Histogram*, std::less<>> relative_error_;  // by role
  Counter& leases_granted_;
  Counter& leases_expired_;
  Counter& layers_published_;
  Counter& published_weights_;
  Counter& packed_bytes_;
  Counter& quarantines_;
  Gauge& workers_quarantined_;
  Gauge& workers_suspect_;
  Gauge& stopped_classes_;
  Gauge& workers_;
  Gauge& slots_;
};

// How much room the journal in `data_directory` has, asked for at every scrape; 0 when it can not be asked any more.
void AddDiskMetrics(MetricsRegistry& registry, const std::string& data_directory);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_COORDINATOR_METRICS_H_

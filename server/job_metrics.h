#ifndef GPTVQ_SERVER_JOB_METRICS_H_
#define GPTVQ_SERVER_JOB_METRICS_H_

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "platform/job/instant.h"
#include "platform/metrics.h"
#include "server/job_pace.h"
#include "server/scheduler/scheduler.h"

namespace gptvq {

// So many jobs have series of their own: those that have not ended, in the order in which they are worked on, then those
// that ended less than kShownAfterEnd ago, so that a scrape sees how they ended (docs/adr/0009).
inline constexpr std::size_t kMaxShownJobs = 16;
inline constexpr std::chrono::minutes kShownAfterEnd{5};

// The series per job: gptvq_coordinator_job_*. The only ones whose labels name things, and therefore bounded: kMaxShownJobs
// jobs, and for each at most one series per linear. Borrows the registry. Thread-compatible; a scrape may come at any time.
class JobMetrics {
 public:
  explicit JobMetrics(MetricsRegistry& registry);

  // A layer was committed.
  void AddLayer(const std::string& job_id, const PublishedLayer& layer);
  // The layers of a job that were committed so far, in place of those known before.
  void ReplaceLayers(const std::string& job_id, const std::vector<PublishedLayer>& layers);

  // Shows how the jobs stand; forgets those that `scheduler` does not have any more.
  void Show(const Scheduler& scheduler, Instant now);

 private:
  struct LinearError {
    std::string layer;  // three digits at least, so that names sort as numbers do
    std::string role;
    double relative_error = 0;
  };
  struct History {
    BitCount bits;
    std::vector<LinearError> errors;
    JobPace pace;
  };

  std::vector<const JobSnapshot*> ChooseShown(const Scheduler& scheduler, WallTime now);
  void ShowErrors(const std::vector<const JobSnapshot*>& shown);

  GaugeTable& info_;
  GaugeTable& state_;
  GaugeTable& layers_;
  GaugeTable& published_layers_;
  GaugeTable& held_tasks_;
  GaugeTable& progress_;
  GaugeTable& eta_;
  GaugeTable& bits_per_value_;
  GaugeTable& create_time_;
  GaugeTable& end_time_;
  GaugeTable& relative_error_;
  Gauge& hidden_;
  std::map<std::string, History> histories_;  // by job id
  std::vector<std::string> shown_ids_;        // of the latest Show
  bool errors_changed_ = false;               // since the latest Show
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_JOB_METRICS_H_

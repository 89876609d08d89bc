#ifndef GPTVQ_PLATFORM_JOB_REPORT_H_
#define GPTVQ_PLATFORM_JOB_REPORT_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "platform/job/job.h"

namespace gptvq {

// How many audits came to each outcome; outcomes without an audit are left out.
using AuditCounts = std::map<AuditOutcome, int>;

// What came out of a job, as far as it is known; the C++ twin of gptvq.v1.Report.
struct Report {
  std::string job_id;
  JobState state = JobState::kPending;
  JobSpec spec;
  BitCount bits;                   // over all linears
  std::uint64_t output_bytes = 0;  // 0 until finalized
  std::optional<Digest> manifest;
  std::vector<TaskPhaseSeconds> seconds;  // summed over the committed tasks; in the order of kAllTaskPhases, no zeros
  std::chrono::milliseconds wall_time{0};
  std::optional<double> source_perplexity;
  std::optional<double> quantized_perplexity;
  std::int64_t evaluated_tokens = 0;
  std::vector<LinearReport> linears;  // by layer
  std::string numerics_class;
  AuditCounts audits;  // that ended
};

// Pure. `layers` are all published layers of the job, by layer; `now` ends the wall time of a job that still runs.
Report AssembleReport(const JobSnapshot& job, const std::vector<PublishedLayer>& layers, WallTime now);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_REPORT_H_

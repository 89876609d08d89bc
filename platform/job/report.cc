#include "platform/job/report.h"

#include <algorithm>

namespace gptvq {
namespace {

void AddResult(const Task& task, Report& report) {
  const TaskResult& result = *task.status.result;
  if (const auto* finalize = std::get_if<FinalizeResult>(&result.outcome)) {
    report.output_bytes = finalize->output_bytes;
    report.manifest = finalize->manifest;
  }
  if (const auto* evaluate = std::get_if<EvaluateResult>(&result.outcome)) {
    report.evaluated_tokens = evaluate->token_count;
    const bool of_source = task.description.target == EvaluationTarget::kSource;
    (of_source ? report.source_perplexity : report.quantized_perplexity) = evaluate->perplexity;
  }
}

double SecondsOf(TaskPhase phase, const JobSnapshot& job) {
  double sum = 0;
  for (const Task& task : job.tasks) {
    if (!task.status.result) continue;
    for (const TaskPhaseSeconds& entry : task.status.result->seconds) {
      if (entry.phase == phase) sum += entry.seconds;
    }
  }
  return sum;
}

}  // namespace

Report AssembleReport(const JobSnapshot& job, const std::vector<PublishedLayer>& layers, WallTime now) {
  Report report;
  report.job_id = job.description.job_id;
  report.state = job.status.state;
  report.spec = job.description.spec;
  report.numerics_class = job.status.numerics_class;
  // The wall clock may jump; a negative duration would only confuse.
  report.wall_time =
      std::max(std::chrono::milliseconds(0), std::chrono::duration_cast<std::chrono::milliseconds>(
                                                 job.status.end_time.value_or(now) - job.description.create_time));
  for (const Task& task : job.tasks) {
    if (task.status.result) AddResult(task, report);
    if (task.status.audit.outcome) ++report.audits[*task.status.audit.outcome];
  }
  for (TaskPhase phase : kAllTaskPhases) {
    const double seconds = SecondsOf(phase, job);
    if (seconds > 0) report.seconds.push_back({phase, seconds});
  }
  for (const PublishedLayer& layer : layers) {
    for (const LinearReport& linear : layer.linears) {
      report.bits += linear.bits;
      report.linears.push_back(linear);
    }
  }
  return report;
}

}  // namespace gptvq

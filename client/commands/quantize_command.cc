#include "client/commands/quantize_command.h"

#include <memory>
#include <utility>

#include "client/pending_request.h"

namespace gptvq {

ExitCode QuantizeModel(const JobFlags& flags, const EmbeddedRunnerOptions& runner_options, OutputFormat output,
                       const MonotonicClock& clock, Terminal& terminal) {
  const absl::StatusOr<JobSpec> spec = MakeJobSpec(flags);
  if (!spec.ok()) {
    Fail(terminal, spec.status());
    return ExitCode::kUsage;
  }
  const absl::StatusOr<std::unique_ptr<EmbeddedRunner>> runner = EmbeddedRunner::Start(runner_options);
  if (!runner.ok()) return Fail(terminal, runner.status());
  JobClient& client = (*runner)->client();
  const absl::StatusOr<JobView> job = client.Submit(*spec, NewRequestId(), SubmitMode::kAccept);
  if (!job.ok()) return Fail(terminal, job.status());
  PrintWarnings(*job, terminal);
  const ExitCode end = WatchJob(client, job->job_id, clock, terminal);
  if (end != ExitCode::kOk) return end;
  return ReportJob(client, job->job_id, output, terminal);
}

}  // namespace gptvq

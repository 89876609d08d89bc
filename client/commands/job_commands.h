#ifndef GPTVQ_CLIENT_COMMANDS_JOB_COMMANDS_H_
#define GPTVQ_CLIENT_COMMANDS_JOB_COMMANDS_H_

#include <optional>
#include <string>
#include <string_view>

#include "client/exit_code.h"
#include "client/job_client.h"
#include "client/job_flags.h"
#include "client/terminal.h"
#include "core/base/monotonic_clock.h"

namespace gptvq {

// The commands that talk to a coordinator. Each prints its result on `out`, its talk on `err`, and returns the exit code.

enum class OutputFormat { kText, kJson, kName, kHtml };

// What submit does once the job is accepted.
enum class AfterSubmit { kReturn, kWait, kWatch };

struct SubmitOptions {
  JobFlags job;
  std::string request_id;  // empty: one is made
  std::string state_dir;   // where the request id is kept until it is answered; empty: not kept
  SubmitMode mode = SubmitMode::kAccept;
  AfterSubmit after = AfterSubmit::kReturn;
  OutputFormat output = OutputFormat::kText;
};

ExitCode SubmitJob(JobClient& client, const SubmitOptions& options, const MonotonicClock& clock, Terminal& terminal);

ExitCode ShowJob(JobClient& client, const std::string& job_id, OutputFormat output, Terminal& terminal);
ExitCode ListJobs(JobClient& client, int limit, OutputFormat output, Terminal& terminal);
ExitCode CancelJob(JobClient& client, const std::string& job_id, Terminal& terminal);
ExitCode ListWorkers(JobClient& client, OutputFormat output, Terminal& terminal);
ExitCode ReleaseWorker(JobClient& client, const std::string& name, Terminal& terminal);
ExitCode ReportJob(JobClient& client, const std::string& job_id, OutputFormat output, Terminal& terminal);

// Shows progress until the job ends. kJobFailed and kCancelled tell how.
ExitCode WatchJob(JobClient& client, const std::string& job_id, const MonotonicClock& clock, Terminal& terminal);

// That the coordinator does not answer for now, to the error stream; what SilenceObserver is for.
void PrintSilence(std::string_view trouble, Terminal& terminal);

// What the coordinator found odd about the model of a submitted job, to the error stream.
void PrintWarnings(const JobView& job, Terminal& terminal);

// Waits silently. `timeout_seconds` absent: for ever; passed: kTimeout, also while the coordinator does not answer.
ExitCode WaitForJob(JobClient& client, const std::string& job_id, std::optional<double> timeout_seconds,
                    const MonotonicClock& clock, Terminal& terminal);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_COMMANDS_JOB_COMMANDS_H_

#include "client/commands/job_commands.h"

#include <chrono>
#include <ctime>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/pending_request.h"
#include "client/progress_display.h"
#include "client/report/job_report.h"
#include "client/status_json.h"
#include "platform/job/request_id.h"

namespace gptvq {
namespace {

constexpr std::chrono::milliseconds kWaitPollPeriod{500};
constexpr double kForEverSeconds = 1e9;

ExitCode ExitCodeOf(const JobView& job, Terminal& terminal) {
  switch (job.state) {
    case JobState::kFailed:
      terminal.err << "job " << Printable(job.job_id) << " failed: " << Printable(job.failure, 4096) << std::endl;
      // Texts and weights are read while the job runs: what they lack is mended like what a submit refuses.
      return job.failure_class == FailureClass::kInput ? ExitCode::kInvalidInput : ExitCode::kJobFailed;
    case JobState::kCancelled:
      terminal.err << "job " << Printable(job.job_id) << " was cancelled" << std::endl;
      return ExitCode::kCancelled;
    default: return ExitCode::kOk;
  }
}

// A refusal is an answer, too. After silence or a defect nobody knows whether the job stands.
bool IsAnswer(const absl::Status& status) {
  const ExitCode code = ExitCodeFor(status);
  return code == ExitCode::kOk || code == ExitCode::kNotFound || code == ExitCode::kInvalidInput ||
         code == ExitCode::kOutOfSpace;
}

std::string UtcTime(std::int64_t unix_seconds) {
  const std::time_t time = static_cast<std::time_t>(unix_seconds);
  std::tm fields{};
  gmtime_r(&time, &fields);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &fields);
  return text;
}

// Who works on a task and what at, or did; and of an audit what it came to: "worker-b: layer 7 mlp.up_proj", "worker-b: agreed",
// "skipped".
std::string WorkerCell(const TaskView& task) {
  std::string cell = Printable(task.worker, 128);
  const auto add = [&](std::string_view text) { absl::StrAppend(&cell, cell.empty() ? "" : ": ", std::string(text)); };
  if (task.audit_outcome) add(Name(*task.audit_outcome));
  if (task.state == TaskState::kLeased && !task.progress.step.empty()) {
    add(absl::StrCat("layer ", task.progress.layer, " ", Printable(task.progress.step, 256)));
  }
  return cell;
}

void PrintJob(const JobView& job, Terminal& terminal) {
  terminal.out << absl::StrFormat("%-12s %s\n%-12s %s\n%-12s %s\n%-12s %s\n%-12s %s\n%-12s %d of %d published\n", "job",
                                  Printable(job.job_id), "state", std::string(Name(job.state)), "preset",
                                  Printable(job.preset), "model", Printable(job.model), "output", Printable(job.output),
                                  "layers", job.published_layers, job.layer_count);
  if (!job.failure.empty()) terminal.out << absl::StrFormat("%-12s %s\n", "failure", Printable(job.failure, 4096));
  if (job.tasks.empty()) return;
  terminal.out << absl::StrFormat("\n%-9s %-10s %-10s %7s %-7s %s\n", "TASK", "LAYERS", "STATE", "ATTEMPT", "DONE",
                                  "WORKER");
  for (const TaskView& task : job.tasks) {
    terminal.out << absl::StrFormat("%-9s %-10s %-10s %7d %5.0f %% %s\n", std::string(Name(task.kind)),
                                    absl::StrCat(task.layers.begin, "-", task.layers.end - 1),
                                    std::string(Name(task.state)), task.attempt, 100 * DoneFraction(task),
                                    WorkerCell(task));
    if (!task.last_failure.empty()) {
      terminal.out << absl::StrFormat("          last failure: %s\n", Printable(task.last_failure, 4096));
    }
  }
  terminal.out << std::flush;
}

void PrintPlan(const JobView& plan, OutputFormat output, Terminal& terminal) {
  if (output == OutputFormat::kJson) {
    terminal.out << JobJson(plan) << std::flush;
    return;
  }
  terminal.err << "dry run: the coordinator would accept this job; nothing was started\n";
  terminal.out << absl::StrFormat("layers       %d\nshard layers %d\ntasks        %d\n", plan.layer_count,
                                  plan.shard_layers, plan.task_count);
  if (plan.memory) {
    constexpr double kGigabyte = 1e9;
    terminal.out << absl::StrFormat(
        "memory       on a GPU %.1f GB of the device and %.1f GB of the host, on the CPU %.1f GB\n",
        plan.memory->gpu_device_bytes / kGigabyte, plan.memory->gpu_host_bytes / kGigabyte,
        plan.memory->cpu_host_bytes / kGigabyte);
  }
  terminal.out << std::flush;
}

// One line, for whoever watched a job to its end; nothing when no audit ended.
void PrintAudits(const JobView& job, Terminal& terminal) {
  AuditCounts audits;
  for (const TaskView& task : job.tasks) {
    if (task.audit_outcome) ++audits[*task.audit_outcome];
  }
  if (!audits.empty()) terminal.err << "audits: " << AuditSummary(audits) << std::endl;
}

// A line for each device that gets no work.
void PrintSickDevices(const WorkerView& worker, Terminal& terminal) {
  for (const DeviceHealth& device : worker.devices) {
    if (IsUsable(device.condition)) continue;
    terminal.out << "  " << Printable(device.slot, 64) << " gets no work: " << std::string(Name(device.condition))
                 << (device.detail.empty() ? "" : ", ") << Printable(device.detail, 256) << "\n";
  }
}

}  // namespace

void PrintWarnings(const JobView& job, Terminal& terminal) {
  for (const std::string& warning : job.warnings) {
    terminal.err << "warning: " << Printable(job.model, 256) << ": " << Printable(warning, 2048) << std::endl;
  }
}

void PrintSilence(std::string_view trouble, Terminal& terminal) {
  terminal.err << Printable(trouble, 2048) << std::endl;
}

ExitCode SubmitJob(JobClient& client, const SubmitOptions& options, const MonotonicClock& clock, Terminal& terminal) {
  const absl::StatusOr<JobSpec> request = MakeJobSpec(options.job);
  if (!request.ok()) {
    Fail(terminal, request.status());
    return ExitCode::kUsage;
  }
  if (!options.request_id.empty() && !IsRequestId(options.request_id)) {
    terminal.err << "error: --request-id '" << Printable(options.request_id, 64) << "' is no UUID in lower case"
                 << std::endl;
    return ExitCode::kUsage;
  }
  // A dry run names no job, so it draws and forgets no id.
  const std::string state_dir = options.mode == SubmitMode::kDryRun ? "" : options.state_dir;
  absl::StatusOr<PendingRequest> pending = PendingRequest::Keep(state_dir, JobBytes(*request), options.request_id);
  if (!pending.ok()) return Fail(terminal, pending.status());
  const absl::StatusOr<JobView> job = client.Submit(*request, pending->request_id(), options.mode);
  if (IsAnswer(job.status())) pending->Forget();
  if (!job.ok()) return Fail(terminal, job.status());
  PrintWarnings(*job, terminal);
  if (options.mode == SubmitMode::kDryRun) {
    PrintPlan(*job, options.output, terminal);
    return ExitCode::kOk;
  }
  switch (options.output) {
    case OutputFormat::kJson: terminal.out << JobJson(*job) << std::flush; break;
    default: terminal.out << Printable(job->job_id) << std::endl;
  }
  switch (options.after) {
    case AfterSubmit::kReturn: return ExitCode::kOk;
    case AfterSubmit::kWait: return WaitForJob(client, job->job_id, std::nullopt, clock, terminal);
    case AfterSubmit::kWatch: return WatchJob(client, job->job_id, clock, terminal);
  }
  return ExitCode::kInternal;
}

ExitCode ShowJob(JobClient& client, const std::string& job_id, OutputFormat output, Terminal& terminal) {
  const absl::StatusOr<JobView> job = client.Get(job_id);
  if (!job.ok()) return Fail(terminal, job.status());
  if (output == OutputFormat::kJson) {
    terminal.out << JobJson(*job) << std::flush;
  } else {
    PrintJob(*job, terminal);
  }
  return ExitCode::kOk;
}

ExitCode ListJobs(JobClient& client, int limit, OutputFormat output, Terminal& terminal) {
  const absl::StatusOr<std::vector<JobView>> jobs = client.List(limit);
  if (!jobs.ok()) return Fail(terminal, jobs.status());
  if (output == OutputFormat::kJson) {
    terminal.out << JobsJson(*jobs) << std::flush;
    return ExitCode::kOk;
  }
  if (output == OutputFormat::kText) {
    terminal.out << absl::StrFormat("%-22s %-11s %-9s %-20s %-16s %s\n", "JOB", "STATE", "LAYERS", "CREATED (UTC)",
                                    "PRESET", "MODEL");
  }
  for (const JobView& job : *jobs) {
    if (output == OutputFormat::kName) {
      terminal.out << Printable(job.job_id) << "\n";
      continue;
    }
    terminal.out << absl::StrFormat(
        "%-22s %-11s %-9s %-20s %-16s %s\n", Printable(job.job_id), std::string(Name(job.state)),
        absl::StrCat(job.published_layers, "/", job.layer_count), UtcTime(job.create_unix_seconds),
        Printable(job.preset, 64), Printable(job.model, 256));
  }
  terminal.out << std::flush;
  return ExitCode::kOk;
}

ExitCode CancelJob(JobClient& client, const std::string& job_id, Terminal& terminal) {
  const absl::StatusOr<JobView> job = client.Cancel(job_id);
  if (!job.ok()) return Fail(terminal, job.status());
  terminal.out << Printable(job->job_id) << " " << std::string(Name(job->state)) << std::endl;
  return ExitCode::kOk;
}

ExitCode ListWorkers(JobClient& client, OutputFormat output, Terminal& terminal) {
  const absl::StatusOr<std::vector<WorkerView>> workers = client.Workers();
  if (!workers.ok()) return Fail(terminal, workers.status());
  if (output == OutputFormat::kJson) {
    terminal.out << WorkersJson(*workers) << std::flush;
    return ExitCode::kOk;
  }
  terminal.out << absl::StrFormat("%-24s %-20s %-6s %-10s %-10s %s\n", "WORKER", "CLASS", "SLOTS", "VERSION",
                                  "LAST CALL", "TASKS");
  for (const WorkerView& worker : *workers) {
    terminal.out << absl::StrFormat(
        "%-24s %-20s %-6d %-10s %-10s %s\n", Printable(worker.name, 128), Printable(worker.numerics_class, 128),
        worker.slots.size(), Printable(worker.version, 64),
        absl::StrCat(HumanDuration(worker.seconds_since_last_call), " ago"),
        worker.trust != WorkerTrust::kTrusted
            ? absl::StrCat(std::string(Name(worker.trust)), ": ", Printable(worker.trust_reason))
        : worker.leased_task_ids.empty() ? "idle"
                                         : Printable(worker.leased_task_ids.front()));
    PrintSickDevices(worker, terminal);
  }
  terminal.out << std::flush;
  return ExitCode::kOk;
}

ExitCode ReleaseWorker(JobClient& client, const std::string& name, Terminal& terminal) {
  const absl::Status released = client.ReleaseWorker(name);
  if (!released.ok()) return Fail(terminal, released);
  terminal.out << Printable(name, 128) << " is given work again" << std::endl;
  return ExitCode::kOk;
}

ExitCode ReportJob(JobClient& client, const std::string& job_id, OutputFormat output, Terminal& terminal) {
  const absl::StatusOr<Report> report = client.GetReport(job_id);
  if (!report.ok()) return Fail(terminal, report.status());
  terminal.out << (output == OutputFormat::kJson   ? JsonReport(*report)
                   : output == OutputFormat::kHtml ? HtmlReport(*report)
                                                   : TextReport(*report))
               << std::flush;
  return ExitCode::kOk;
}

ExitCode WatchJob(JobClient& client, const std::string& job_id, const MonotonicClock& clock, Terminal& terminal) {
  ProgressDisplay display(terminal);
  const auto on_change = [&](const JobView& status) {
    display.Show(status, clock.NowSeconds());
    return WatchDecision::kContinue;
  };
  const auto on_silence = [&](std::string_view trouble) {
    display.Finish();
    PrintSilence(trouble, terminal);
  };
  const absl::StatusOr<JobView> job = client.Watch(job_id, on_change, on_silence);
  display.Finish();
  if (!job.ok()) return Fail(terminal, job.status());
  PrintAudits(*job, terminal);
  return ExitCodeOf(*job, terminal);
}

ExitCode WaitForJob(JobClient& client, const std::string& job_id, std::optional<double> timeout_seconds,
                    const MonotonicClock& clock, Terminal& terminal) {
  const double start_seconds = clock.NowSeconds();
  const auto seconds_left = [&] {
    return timeout_seconds ? start_seconds + *timeout_seconds - clock.NowSeconds() : kForEverSeconds;
  };
  while (true) {
    const auto at_most = std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(seconds_left()));
    const absl::StatusOr<JobView> job = client.Get(job_id, at_most);
    if (job.ok() && IsTerminal(job->state)) return ExitCodeOf(*job, terminal);
    const bool is_over = seconds_left() <= 0;
    const bool is_silent = absl::IsUnavailable(job.status());
    if (!job.ok() && !(is_over && is_silent)) return Fail(terminal, job.status());
    if (is_over) {
      terminal.err << "job " << Printable(job_id)
                   << (job.ok() ? absl::StrCat(" is still ", std::string(Name(job->state)), "; it goes on")
                                : absl::StrCat(": ", Printable(std::string(job.status().message()), 2048)))
                   << std::endl;
      return ExitCode::kTimeout;
    }
    std::this_thread::sleep_for(kWaitPollPeriod);
  }
}

}  // namespace gptvq

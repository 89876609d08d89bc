#include <unistd.h>

#include <csignal>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "client/client_options.h"
#include "client/commands/about_commands.h"
#include "client/commands/doctor_command.h"
#include "client/commands/job_commands.h"
#include "client/commands/linear_command.h"
#include "client/commands/model_commands.h"
#include "client/commands/quantize_command.h"
#include "client/commands/result_commands.h"
#include "client/exit_code.h"
#include "client/terminal.h"
#include "core/base/monotonic_clock.h"
#include "core/base/status_macros.h"
#include "platform/clock.h"
#include "platform/object_store/s3_connector.h"
#include "platform/object_store/storage.h"
#include "platform/options.h"
#include "platform/rpc/channel.h"
#include "platform/stop_signals.h"
#include "platform/tls/tls_files.h"
#include "platform/version.h"

namespace gptvq {
namespace {

class ProcessClock final : public MonotonicClock {
 public:
  double NowSeconds() const override {
    return std::chrono::duration<double>(clock_.MonotonicNow().time_since_epoch()).count();
  }

 private:
  SystemClock clock_;
};

// Ctrl-C ends the program at once: nothing is half written, because results appear only when they are complete. `hint`
// says what goes on without this program.
std::function<void(int)> ExitAtOnce(std::string hint) {
  return [hint = std::move(hint)](int signal) {
    std::cerr << "\ninterrupted" << hint << std::endl;
    constexpr int kSignalBase = 128;
    _exit(signal == SIGINT ? static_cast<int>(ExitCode::kInterrupted) : kSignalBase + signal);
  };
}

Terminal ProcessTerminal() {
  const bool is_terminal = isatty(STDERR_FILENO) != 0 && !ProcessEnvironment()("CI").has_value();
  const bool wants_colour = is_terminal && !ProcessEnvironment()("NO_COLOR").has_value();
  return Terminal{std::cout, std::cerr, is_terminal ? Liveliness::kAnimated : Liveliness::kPlain, wants_colour};
}

// Where unanswered request ids and the state of embedded runs are kept.
std::string StateDir(const ClientOptions& options) {
  if (!options.state_dir.empty()) return options.state_dir;
  const Environment environment = ProcessEnvironment();
  if (const auto state_home = environment("XDG_STATE_HOME")) return *state_home + "/gptvq";
  if (const auto home = environment("HOME")) return *home + "/.local/state/gptvq";
  return ".gptvq";
}

JobClientOptions JobClientOptionsFor(const std::string& command, const ClientOptions& options, Terminal& terminal) {
  JobClientOptions result;
  result.address = options.coordinator;
  result.security = options.security;
  // Whoever asks for the version or the doctor wants to know what is there now.
  const bool asks_once = command == "version" || command == "doctor";
  result.repetition.at_most = asks_once ? std::chrono::milliseconds(0) : options.retry_for;
  result.repetition.pauses.seed = std::random_device()();
  result.on_silence = [&terminal](std::string_view trouble) { PrintSilence(trouble, terminal); };
  return result;
}

ExitCode RunSubmit(JobClient& client, const ClientOptions& options, const MonotonicClock& clock, Terminal& terminal) {
  if (int{options.dry_run} + int{options.wait} + int{options.watch} > 1) {
    terminal.err << "gptvq-client submit: --dry-run, --wait and --watch exclude each other" << std::endl;
    return ExitCode::kUsage;
  }
  SubmitOptions submit;
  submit.job = options.job;
  submit.request_id = options.request_id;
  submit.state_dir = StateDir(options);
  submit.mode = options.dry_run ? SubmitMode::kDryRun : SubmitMode::kAccept;
  submit.after = options.watch ? AfterSubmit::kWatch : options.wait ? AfterSubmit::kWait : AfterSubmit::kReturn;
  submit.output = options.output;
  return SubmitJob(client, submit, clock, terminal);
}

ExitCode RunWait(JobClient& client, const ClientOptions& options, const MonotonicClock& clock, Terminal& terminal) {
  std::optional<double> timeout;
  if (options.timeout.count() > 0) timeout = std::chrono::duration<double>(options.timeout).count();
  return WaitForJob(client, options.job_id, timeout, clock, terminal);
}

ExitCode RunVersion(JobClient& client, Terminal& terminal) {
  terminal.out << "gptvq-client " << Version() << std::endl;
  const absl::StatusOr<CoordinatorView> coordinator = client.Coordinator();
  terminal.out << "gptvq-coordinator " << (coordinator.ok() ? coordinator->version : "does not answer") << std::endl;
  return ExitCode::kOk;
}

ExitCode RunDoctorCommand(const Storage& storage, JobClient& client, Clock& clock, const ClientOptions& options,
                          Terminal& terminal) {
  return RunDoctor({options.coordinator, options.security, options.files}, client, storage, clock, options.output,
                   terminal);
}

ExitCode RunCalibration(const Storage& storage, const ClientOptions& options, Terminal& terminal) {
  if (options.calibration_action != "inspect") {
    terminal.err << "error: calibration '" << Printable(options.calibration_action, 64) << "'; allowed: inspect"
                 << std::endl;
    return ExitCode::kUsage;
  }
  const JobFlags& job = options.job;
  return InspectCalibrationFiles(storage, {job.model, job.calibration, job.samples, job.sequence_length, job.seed},
                                 terminal);
}

ExitCode RunCommand(const std::string& command, const ClientOptions& options, Terminal& terminal) {
  const ProcessClock clock;
  SystemClock system_clock;
  const absl::StatusOr<S3Connector> s3 =
      S3Connector::Create(options.storage_profiles, ProcessEnvironment(), system_clock);
  if (!s3.ok()) {
    Fail(terminal, WithContext(s3.status(), "--storage-profiles"));
    return ExitCode::kUsage;
  }
  const Storage storage({.file_roots = {}, .s3 = &*s3});
  const auto client = [&] {
    return std::make_unique<JobClient>(JobClientOptionsFor(command, options, terminal), system_clock);
  };
  const std::map<std::string, std::function<ExitCode()>> runs = {
      {"submit", [&] { return RunSubmit(*client(), options, clock, terminal); }},
      {"get", [&] { return ShowJob(*client(), options.job_id, options.output, terminal); }},
      {"list", [&] { return ListJobs(*client(), options.limit, options.output, terminal); }},
      {"watch", [&] { return WatchJob(*client(), options.job_id, clock, terminal); }},
      {"wait", [&] { return RunWait(*client(), options, clock, terminal); }},
      {"cancel", [&] { return CancelJob(*client(), options.job_id, terminal); }},
      {"report", [&] { return ReportJob(*client(), options.job_id, options.output, terminal); }},
      {"workers", [&] { return ListWorkers(*client(), options.output, terminal); }},
      {"doctor", [&] { return RunDoctorCommand(storage, *client(), system_clock, options, terminal); }},
      {"release", [&] { return ReleaseWorker(*client(), options.worker, terminal); }},
      {"linear",
       [&] {
         return QuantizeOneLinear(storage,
                                  {options.weight, options.hessian, options.linear_output, options.job.spec,
                                   options.job.seed, options.device, options.threads},
                                  clock, terminal);
       }},
      {"quantize",
       [&] {
         return QuantizeModel(options.job, {options.device, options.workers, options.threads, StateDir(options), &*s3},
                              options.output, clock, terminal);
       }},
      {"verify", [&] { return VerifyResult(storage, options.directory, terminal); }},
      {"inspect", [&] { return InspectResult(storage, options.directory, options.output, terminal); }},
      {"export",
       [&] {
         return ExportResult(storage,
                             {options.directory, options.export_format, options.export_dtype, options.export_output},
                             terminal);
       }},
      {"eval",
       [&] {
         return EvaluateModel(storage,
                              {options.directory, options.text, options.job.sequence_length,
                               options.job.evaluation_tokens, options.device, options.threads},
                              options.output, terminal);
       }},
      {"calibration", [&] { return RunCalibration(storage, options, terminal); }},
      {"presets", [&] { return Presets(options.output, terminal); }},
      {"completion", [&] { return Completion(options.shell, CommandNames(), terminal); }},
      {"version", [&] { return RunVersion(*client(), terminal); }},
  };
  return runs.at(command)();
}

// What was printed counts only once it has arrived: a report on a full disk is no report.
int Ended(int exit_code) {
  if (std::cout.flush() || exit_code != 0) return exit_code;
  std::cerr << "error: standard output could not be written: is its disk full?" << std::endl;
  return static_cast<int>(ExitCode::kOutOfSpace);
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  gptvq::DriveConnectionsBetweenCalls();
  gptvq::ClientOptions options;
  gptvq::CommandLine command_line(
      {.name = "gptvq-client", .summary = "Submits, follows and uses vector quantization jobs."});
  gptvq::DeclareCommands(command_line, options);
  const gptvq::ParsedCommandLine parsed = command_line.Parse(argc, argv, std::cout, std::cerr);
  if (parsed.exit_code) return gptvq::Ended(*parsed.exit_code);
  if (const absl::Status status = options.security.Validate(); !status.ok()) {
    std::cerr << "gptvq-client " << parsed.command << ": " << status.message() << std::endl;
    return static_cast<int>(gptvq::ExitCode::kUsage);
  }
  // `doctor` says the same in its own way. gRPC would only say that the handshake failed.
  if (!options.security.tls.empty() && parsed.command != "doctor") {
    const absl::Status status = gptvq::CheckTlsFiles(options.security.tls, gptvq::SystemClock().WallNow()).status();
    if (!status.ok()) {
      std::cerr << "gptvq-client " << parsed.command << ": " << status.message() << std::endl;
      return static_cast<int>(gptvq::ExitCodeFor(status));
    }
  }
  const bool is_remote = !options.job_id.empty() || parsed.command == "submit";
  const gptvq::StopSignals stop_signals(
      gptvq::ExitAtOnce(is_remote ? "; the job goes on: `gptvq-client cancel JOB` ends it" : ""));
  gptvq::Terminal terminal = gptvq::ProcessTerminal();
  return gptvq::Ended(static_cast<int>(gptvq::RunCommand(parsed.command, options, terminal)));
}

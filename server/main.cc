// gptvq-coordinator: accepts jobs, hands tasks to workers, keeps the journal and the artifacts.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "platform/clock.h"
#include "platform/job_store/sqlite_backup.h"
#include "platform/log.h"
#include "platform/metrics.h"
#include "platform/metrics_server.h"
#include "platform/object_store/s3_connector.h"
#include "platform/object_store/storage.h"
#include "platform/options.h"
#include "server/audit_chain.h"
#include "server/coordinator_daemon.h"
#include "server/coordinator_flags.h"
#include "server/coordinator_metrics.h"
#include "server/storage_input_probe.h"

namespace gptvq {
namespace {

// Calls that commit get so long to end after SIGTERM; under Kubernetes' default of 30 s.
constexpr std::chrono::seconds kStopGrace(10);

// Complete or absent, so that whoever waits for the file never reads half of it.
bool WriteAddressFile(const std::string& path, const std::string& address) {
  const std::string temporary = path + ".tmp";
  {
    std::ofstream file(temporary, std::ios::trunc);
    file << address << "\n";
    if (!file.flush()) return false;
  }
  return std::rename(temporary.c_str(), path.c_str()) == 0;
}

// Ends the process where it stands: a lucky second fsync would let it acknowledge what the disk has lost, and whatever is
// closed in order writes. What starts next reads what is there.
[[noreturn]] void EndWithoutJournal(const absl::Status& failure, Logger& log) {
  log.Error("the journal's disk failed to keep what was written; ending, to be started again",
            {{"error", failure.ToString()}});
  _exit(kJournalLost);
}

int Serve(ServeOptions options, const sigset_t& stop_signals) {
  SystemClock clock;
  Logger log(options.log_level);
  MetricsRegistry registry("coordinator");
  registry.AddProcessMetrics();
  const absl::StatusOr<S3Connector> s3 = S3Connector::Create(options.storage_profiles, ProcessEnvironment(), clock);
  if (!s3.ok()) {
    std::cerr << "gptvq-coordinator: --storage-profiles: " << s3.status().message() << "\n";
    return kUsage;
  }
  options.daemon.s3 = &*s3;
  options.daemon.on_sync_failure = [&log](const absl::Status& failure) { EndWithoutJournal(failure, log); };
  const StorageOptions storage_options = {.file_roots = options.file_roots, .s3 = &*s3};
  if (const absl::Status status = storage_options.Validate(); !status.ok()) {
    std::cerr << "gptvq-coordinator: --file-root: " << status.message() << "\n";
    return kUsage;
  }
  const Storage storage(storage_options);
  StorageInputProbe probe(storage);

  const auto daemon = CoordinatorDaemon::Start(options.daemon, probe, clock, registry, log);
  if (!daemon.ok()) {
    std::cerr << "gptvq-coordinator: " << daemon.status().message() << "\n";
    return ExitCodeOf(daemon.status());
  }
  if (!options.daemon.data_directory.empty()) AddDiskMetrics(registry, options.daemon.data_directory);
  std::unique_ptr<MetricsServer> metrics_server;
  if (options.metrics_enabled) {
    auto started = MetricsServer::Start(options.metrics_listen.host, options.metrics_listen.port, registry);
    if (!started.ok()) {
      std::cerr << "gptvq-coordinator: " << started.status().message() << "\n";
      return kCannotServe;
    }
    metrics_server = *std::move(started);
    std::cout << "metrics on " << HostPort{options.metrics_listen.host, metrics_server->port()}.ToString() << std::endl;
  }
  std::cout << "listening on " << (*daemon)->address() << std::endl;
  if (!options.address_file.empty() && !WriteAddressFile(options.address_file, (*daemon)->address())) {
    std::cerr << "gptvq-coordinator: cannot write " << options.address_file << "\n";
    return kCannotServe;
  }

  int signal = 0;
  sigwait(&stop_signals, &signal);
  log.Info("stopping", {{"signal", signal}});
  (*daemon)->Stop(kStopGrace);
  log.Info("stopped");
  return kOk;
}

int Report(const absl::StatusOr<JournalSummary>& done, std::string_view what) {
  if (!done.ok()) {
    std::cerr << "gptvq-coordinator: " << done.status().message() << "\n";
    return ExitCodeOf(done.status());
  }
  std::cout << what << ": " << done->jobs << " jobs, " << done->active_jobs << " of them active; schema "
            << done->schema << std::endl;
  return kOk;
}

int ReportLoss(const absl::StatusOr<JournalSummary>& done) {
  if (done.ok()) std::cout << "acknowledged changes given up: " << done->lost_changes << "\n";
  return Report(done, "left");
}

int VerifyAuditLog(const std::string& file, const std::string& known_value) {
  const absl::StatusOr<AuditLogCheck> done = CheckAuditLog(file, known_value);
  if (!done.ok()) {
    std::cerr << "gptvq-coordinator: " << done.status().message() << "\n";
    if (absl::IsDataLoss(done.status())) return kNotVerified;
    return absl::IsNotFound(done.status()) ? kNoSuchFile : ExitCodeOf(done.status());
  }
  std::cout << "OK: " << done->lines << " lines, " << done->torn_lines << " of them not written whole\n";
  if (done->previous != kAuditChainStart) std::cout << "goes on from " << done->previous << "\n";
  std::cout << "chain value " << done->last << std::endl;
  return kOk;
}

int Main(int argc, char** argv) {
  // Before any thread starts, so that all of them inherit it and only sigwait sees these signals.
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);

  CoordinatorFlags flags;
  CommandLine command_line({.name = "gptvq-coordinator",
                            .summary = "Accepts jobs and hands their tasks to workers.",
                            .command = Presence::kOptional});
  DeclareFlags(command_line, flags);
  const ParsedCommandLine parsed = command_line.Parse(argc, argv, std::cout, std::cerr);
  if (parsed.exit_code) return *parsed.exit_code;
  if (parsed.command == "backup") {
    return Report(BackUpJournal(flags.backup.data_directory, flags.backup.output), "backed up");
  }
  if (parsed.command == "restore") {
    return Report(RestoreJournal(flags.restore.input, flags.restore.data_directory), "restored");
  }
  if (parsed.command == "accept-loss") return ReportLoss(AcceptLoss(flags.accept_loss.data_directory));
  if (parsed.command == "verify-audit-log") {
    return VerifyAuditLog(flags.verify_audit_log.file, flags.verify_audit_log.known_value);
  }
  return Serve(flags.serve, stop_signals);
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) { return gptvq::Main(argc, argv); }

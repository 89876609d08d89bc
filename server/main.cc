// gptvq-coordinator: accepts jobs, hands tasks to workers, keeps the journal and the artifacts.

#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>

#include "platform/clock.h"
#include "platform/log.h"
#include "platform/metrics.h"
#include "platform/metrics_server.h"
#include "platform/object_store/s3_connector.h"
#include "platform/object_store/storage.h"
#include "platform/options.h"
#include "server/coordinator_daemon.h"
#include "server/coordinator_metrics.h"
#include "server/storage_input_probe.h"

namespace gptvq {
namespace {

// Exit codes of the daemon: distinct for what an operator must do.
enum ExitCode { kOk = 0, kUsage = 2, kCannotServe = 4, kDirectoryInUse = 6 };

// Calls that commit get so long to end after SIGTERM; under Kubernetes' default of 30 s.
constexpr std::chrono::seconds kStopGrace(10);

struct Options {
  CoordinatorDaemonOptions daemon{.data_directory = "", .journal_uri = "", .artifact_store_uri = "", .server = {}};
  std::string storage_profiles;
  HostPort metrics_listen{"127.0.0.1", 0};
  bool metrics_enabled = false;
  std::string address_file;
  LogLevel log_level = LogLevel::kInfo;
};

void DeclareOptions(Command& command, Options& options) {
  command.AddString(
      {.name = "--data-dir", .help = "Directory of the journal; required without --journal.", .value = "DIR"},
      &options.daemon.data_directory);
  command.AddString(
      {.name = "--journal",
       .help = "Journal that coordinators share, postgresql://[user@]host[:port]/database, without password.",
       .value = "URI"},
      &options.daemon.journal_uri);
  command.AddParsed(
      {.name = "--listen", .help = "Where to serve: HOST:PORT, port 0 picks one, or unix:PATH.", .value = "ADDRESS"},
      options.daemon.server.address, [&options](std::string_view text) -> absl::Status {
        GPTVQ_ASSIGN_OR_RETURN(options.daemon.server.address, ParseRpcAddress(text));
        return absl::OkStatus();
      });
  command.AddString(
      {.name = "--store", .help = "Artifact store, a URI or directory; default DATA_DIR/store.", .value = "URI"},
      &options.daemon.artifact_store_uri);
  command.AddString({.name = "--storage-profiles",
                     .help = "JSON file that says how s3:// URIs are reached; without it AWS in AWS_REGION.",
                     .value = "FILE"},
                    &options.storage_profiles);
  command.AddParsed({.name = "--metrics-listen",
                     .help = "Where to serve /metrics; without it they are not served.",
                     .value = "HOST:PORT"},
                    "", [&options](std::string_view text) -> absl::Status {
                      GPTVQ_ASSIGN_OR_RETURN(options.metrics_listen, ParseHostPort(text));
                      options.metrics_enabled = true;
                      return absl::OkStatus();
                    });
  command.AddParsed(
      {.name = "--lease-ttl-ms", .help = "Silence after which a worker's task is offered to others.", .value = "MS"},
      "30000", [&options](std::string_view text) -> absl::Status {
        GPTVQ_ASSIGN_OR_RETURN(const std::int64_t ms, ParseInteger<std::int64_t>(text, {100, 3'600'000}));
        options.daemon.lease_ttl = std::chrono::milliseconds(ms);
        return absl::OkStatus();
      });
  command.AddParsed(
      {.name = "--stall-after-ms",
       .help = "Heartbeats without progress after which a task is offered to others; a linear is the "
               "longest step.",
       .value = "MS"},
      "600000", [&options](std::string_view text) -> absl::Status {
        GPTVQ_ASSIGN_OR_RETURN(const std::int64_t ms, ParseInteger<std::int64_t>(text, {1'000, 86'400'000}));
        options.daemon.stall_after = std::chrono::milliseconds(ms);
        return absl::OkStatus();
      });
  command.AddString(
      {.name = "--address-file", .help = "Write the address that was picked to this file.", .value = "FILE"},
      &options.address_file);
  command.AddParsed(
      {.name = "--log-level", .help = "Least severe level that is logged.", .value = "debug|info|warning|error"},
      "info", [&options](std::string_view text) -> absl::Status {
        GPTVQ_ASSIGN_OR_RETURN(options.log_level, ParseLogLevel(text));
        return absl::OkStatus();
      });
  command.AddParsed({.name = "--reflection", .help = "Whether gRPC reflection is served.", .value = "on|off"}, "off",
                    [&options](std::string_view text) -> absl::Status {
                      if (text != "on" && text != "off") return absl::InvalidArgumentError("must be on or off");
                      options.daemon.server.reflection = text == "on" ? Reflection::kOn : Reflection::kOff;
                      return absl::OkStatus();
                    });
}

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition: return kDirectoryInUse;
    case absl::StatusCode::kInvalidArgument: return kUsage;
    default: return kCannotServe;
  }
}

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

int Serve(Options options, const sigset_t& stop_signals) {
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
  const Storage storage({.file_roots = {}, .s3 = &*s3});
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

int Main(int argc, char** argv) {
  // Before any thread starts, so that all of them inherit it and only sigwait sees these signals.
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);

  Options options;
  CommandLine command_line({.name = "gptvq-coordinator", .summary = "Accepts jobs and hands their tasks to workers."});
  DeclareOptions(command_line.main(), options);
  const ParsedCommandLine parsed = command_line.Parse(argc, argv, std::cout, std::cerr);
  if (parsed.exit_code) return *parsed.exit_code;
  return Serve(options, stop_signals);
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) { return gptvq::Main(argc, argv); }

#include "worker/worker_daemon.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <climits>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/device_lost.h"
#include "core/base/status_macros.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/metrics.h"
#include "platform/metrics_server.h"
#include "platform/object_store/s3_connector.h"
#include "platform/object_store/storage.h"
#include "platform/options.h"
#include "platform/rpc/channel.h"
#include "platform/stop_signals.h"
#include "platform/tls/certificate_watch.h"
#include "platform/version.h"
#include "worker/device_watch.h"
#include "worker/grpc_coordinator_link.h"
#include "worker/lease_loop.h"
#include "worker/pipeline_executor.h"
#include "worker/ready_file_link.h"
#include "worker/retrying_link.h"
#include "worker/self_test.h"
#include "worker/worker_metrics.h"
#include "worker/worker_options.h"

namespace gptvq {
namespace {

// 0: drained, or the self test passed; 2 is CommandLine's.
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitDeviceLost = 75;  // EX_TEMPFAIL: start me again, perhaps elsewhere
constexpr int kExitBySignal = 128;   // plus its number

// How late the coordinator may hear of a device that is out: no later than by a heartbeat of its shortest leases.
constexpr std::chrono::milliseconds kReadingPeriod(1'000);

std::string HostName() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  gethostname(name.data(), name.size() - 1);
  return name.data();
}

// 128 random bits, so that a restarted daemon is never taken for the one before.
std::string DrawIncarnation() {
  std::random_device random;
  std::string incarnation;
  for (int i = 0; i < 4; ++i) absl::StrAppend(&incarnation, absl::Hex(random(), absl::kZeroPad8));
  return incarnation;
}

// The slots as they are watched; borrows them.
std::vector<WatchedDevice> WatchedDevicesOf(const std::vector<PlacedTeam>& slots) {
  std::vector<WatchedDevice> devices;
  for (const PlacedTeam& placed : slots) {
    devices.push_back({placed.slot.name, placed.read_health, [&placed] { return RunSelfTest(placed.team()); }});
  }
  return devices;
}

// Every process begins so: what made the one before end may still be wrong. Errors: the first one.
absl::Status TestDevices(DeviceWatch& devices, std::size_t slot_count) {
  absl::Status result;
  for (std::size_t slot = 0; slot < slot_count; ++slot) result.Update(devices.Test(static_cast<int>(slot)));
  return result;
}

// What lasts as long as the process.
struct Surroundings {
  Clock& clock;
  Logger& log;
  MetricsRegistry& registry;
  WorkerMetrics& metrics;
  DeviceWatch& devices;
};

absl::Status Serve(const WorkerOptions& options, const S3Connector& s3, std::vector<PlacedTeam>& slots,
                   const Surroundings& surroundings) {
  auto& [clock, log, registry, metrics, devices] = surroundings;
  registry.AddProcessMetrics();
  std::unique_ptr<MetricsServer> metrics_server;
  if (!options.metrics_listen.host.empty()) {
    GPTVQ_ASSIGN_OR_RETURN(metrics_server,
                           MetricsServer::Start(options.metrics_listen.host, options.metrics_listen.port, registry));
    log.Info("serving metrics", {{"host", options.metrics_listen.host}, {"port", metrics_server->port()}});
  }

  std::unique_ptr<CertificateWatch> certificate_watch;
  if (!options.tls.empty()) {
    certificate_watch = std::make_unique<CertificateWatch>(options.tls, clock, registry, log);
  }

  const Storage storage({.file_roots = options.file_roots, .s3 = &s3});
  WorkerIdentity identity;
  identity.name = options.name;
  identity.incarnation = DrawIncarnation();
  const PipelineExecutorOptions executor_options = {.checkpoint_every =
                                                        std::chrono::seconds(options.checkpoint_every_seconds)};
  std::vector<std::unique_ptr<PipelineExecutor>> executors;
  std::vector<TaskExecutor*> borrowed;
  for (PlacedTeam& placed : slots) {
    identity.numerics_class = placed.team().lead().numerics_class();
    identity.slots.push_back(placed.slot);
    metrics.ShowSlot(placed.slot, placed.read_used_bytes);
    executors.push_back(
        std::make_unique<PipelineExecutor>(executor_options, placed.team(), storage, clock, log, metrics));
    borrowed.push_back(executors.back().get());
  }
  log.Info("worker starts", {{"name", identity.name},
                             {"incarnation", identity.incarnation},
                             {"version", Version()},
                             {"coordinator", options.coordinator},
                             {"numerics_class", identity.numerics_class},
                             {"slots", borrowed.size()},
                             {"threads_per_slot", options.threads_per_slot()}});

  const ConnectionSecurity security = {.tls = options.tls, .token_file = ""};
  GrpcCoordinatorLink link(
      {.control = MakeChannel(options.coordinator, security), .layers = MakeChannel(options.coordinator, security)},
      identity, [&devices = devices] { return devices.Report(); });
  std::optional<ReadyFileLink> ready;
  if (!options.ready_file.empty()) {
    ready.emplace(link, options.ready_file, log, [&devices = devices] { return devices.AnyMayTakeTask(); });
  }
  CoordinatorLink& observed = ready ? static_cast<CoordinatorLink&>(*ready) : link;
  RetryingLink retrying(observed, {.seed = std::random_device()()}, clock, log, metrics.call_retries);
  devices.Start(kReadingPeriod);
  LeaseLoop loop({.orphan_timeout = std::chrono::seconds(options.orphan_timeout_seconds)}, borrowed, devices, retrying,
                 clock, log, metrics);
  std::stop_source drain;
  const StopSignals signals([&](int signal) {
    if (drain.stop_requested()) _exit(kExitBySignal + signal);
    if (ready) ready->RemoveFile();
    log.Info("signal received: releasing tasks and ending; a second one ends at once", {{"signal", signal}});
    drain.request_stop();
  });
  return loop.Run(drain.get_token());
}

}  // namespace

int RunWorker(int argc, char** argv, const SlotMaker& make_slots) {
  DriveConnectionsBetweenCalls();
  WorkerOptions options;
  CommandLine command_line(
      {.name = "gptvq-worker", .summary = "Leases tasks of quantization jobs from a coordinator and runs them."});
  DeclareFlags(command_line.main(), &options);
  const ParsedCommandLine parsed = command_line.Parse(argc, argv, std::cout, std::cerr);
  if (parsed.exit_code) return *parsed.exit_code;
  SystemClock clock;
  if (const absl::Status status = options.AdoptCertificate(clock.WallNow()); !status.ok()) {
    std::cerr << "gptvq-worker: " << status.message() << "\n";
    return kExitUsage;
  }
  options.FillDefaults(HostName(), getpid(), static_cast<int>(std::thread::hardware_concurrency()));
  if (const absl::Status status = options.Validate(); !status.ok()) {
    std::cerr << "gptvq-worker: " << status.message() << "\n";
    return kExitUsage;
  }

  const absl::StatusOr<S3Connector> s3 = S3Connector::Create(options.storage_profiles, ProcessEnvironment(), clock);
  if (!s3.ok()) {
    std::cerr << "gptvq-worker: --storage-profiles: " << s3.status().message() << "\n";
    return kExitUsage;
  }
  Logger log(options.log_level);
  absl::StatusOr<std::vector<PlacedTeam>> slots = make_slots({.device = options.device,
                                                              .cpu_slot_count = options.device_slots,
                                                              .threads_per_cpu_slot = options.threads_per_slot(),
                                                              .team_size = options.team_size,
                                                              .linears_at_once = options.linears_at_once});
  if (!slots.ok()) {
    std::cerr << "gptvq-worker: " << slots.status().message() << "\n";
    return kExitFailed;
  }
  for (const PlacedTeam& placed : *slots) {
    log.Info("device slot", {{"slot", placed.slot.name},
                             {"device", placed.slot.description},
                             {"numerics_class", placed.team().lead().numerics_class()},
                             {"says_how_it_is", placed.read_health != nullptr}});
  }
  MetricsRegistry registry("worker");
  WorkerMetrics metrics(registry);
  DeviceWatch devices(WatchedDevicesOf(*slots), clock, log, metrics);
  const absl::Status tested = TestDevices(devices, slots->size());
  if (options.selftest) return tested.ok() ? 0 : kExitFailed;
  if (!devices.AnyMayTakeTask()) return kExitFailed;

  const absl::Status status = Serve(options, *s3, *slots, {clock, log, registry, metrics, devices});
  if (status.ok()) return 0;
  log.Error("worker ends", {{"error", status.ToString()}});
  return IsDeviceLost(status) ? kExitDeviceLost : kExitFailed;
}

}  // namespace gptvq

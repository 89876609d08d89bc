#include "client/embedded_runner.h"

#include <algorithm>
#include <filesystem>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/pending_request.h"
#include "core/base/status_macros.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/metrics.h"
#include "platform/object_store/storage.h"
#include "server/coordinator_daemon.h"
#include "server/storage_input_probe.h"
#include "worker/device_slots.h"
#include "worker/device_watch.h"
#include "worker/grpc_coordinator_link.h"
#include "worker/lease_loop.h"
#include "worker/pipeline_executor.h"
#include "worker/retrying_link.h"
#include "worker/worker_metrics.h"

namespace gptvq {
namespace {

constexpr LogLevel kLogLevel = LogLevel::kError;  // progress is told by the job, not by the log

// One worker with one device slot on a thread of its own.
class EmbeddedWorker {
 public:
  EmbeddedWorker(int number, PlacedTeam placed, std::shared_ptr<grpc::Channel> channel, const Storage& storage,
                 Clock& clock, Logger& log)
      : placed_(std::move(placed)),
        registry_("worker"),
        metrics_(registry_),
        executor_({}, placed_.team(), storage, clock, log, metrics_),  // nobody resumes what ends with this process
        devices_({{placed_.slot.name, nullptr, nullptr}}, clock, log, metrics_),
        link_({.control = std::move(channel)}, Identity(number, placed_)),
        retrying_(link_, {.seed = static_cast<std::uint64_t>(number)}, clock, log, metrics_.call_retries),
        loop_({}, {&executor_}, devices_, retrying_, clock, log, metrics_),
        thread_([this, &log](std::stop_token drain) {
          const absl::Status status = loop_.Run(drain);
          if (!status.ok()) log.Error("embedded worker ends", {{"error", status.ToString()}});
        }) {}

 private:
  static WorkerIdentity Identity(int number, const PlacedTeam& placed) {
    WorkerIdentity identity;
    identity.name = absl::StrCat("embedded-", number);
    identity.incarnation = absl::StrCat(absl::Hex(number, absl::kZeroPad16), "0000000000000000");
    identity.numerics_class = placed.team().lead().numerics_class();
    identity.slots = {placed.slot};
    return identity;
  }

  PlacedTeam placed_;
  MetricsRegistry registry_;
  WorkerMetrics metrics_;
  PipelineExecutor executor_;
  DeviceWatch devices_;  // of one process and one job: nobody else would take what a sick device fails
  GrpcCoordinatorLink link_;
  RetryingLink retrying_;
  LeaseLoop loop_;
  std::jthread thread_;  // last: it ends before what it uses
};

}  // namespace

// In the order in which they are built; destroyed in the opposite one.
struct EmbeddedRunner::Parts {
  Parts(std::string directory, const S3Connector* s3)
      : directory(std::move(directory)),
        log(kLogLevel),
        storage({.file_roots = {}, .s3 = s3}),
        probe(storage),
        registry("coordinator") {}
  ~Parts() {
    workers.clear();
    client.reset();
    if (daemon != nullptr) daemon->Stop(std::chrono::seconds(1));
    daemon.reset();
    std::error_code ignored;  // what stays behind is harmless: the next run has a directory of its own
    std::filesystem::remove_all(directory, ignored);
  }

  const std::string directory;
  Logger log;
  SystemClock clock;
  const Storage storage;
  StorageInputProbe probe;
  MetricsRegistry registry;
  std::unique_ptr<CoordinatorDaemon> daemon;
  std::unique_ptr<JobClient> client;
  std::vector<std::unique_ptr<EmbeddedWorker>> workers;
};

absl::StatusOr<std::unique_ptr<EmbeddedRunner>> EmbeddedRunner::Start(const EmbeddedRunnerOptions& options) {
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const int threads = std::max(1, (options.threads > 0 ? options.threads : cores) / options.workers);
  GPTVQ_ASSIGN_OR_RETURN(
      std::vector<PlacedTeam> slots,
      MakeDeviceSlots({.device = options.device, .cpu_slot_count = options.workers, .threads_per_cpu_slot = threads}));
  auto parts = std::make_unique<Parts>(absl::StrCat(options.state_dir, "/quantize-", NewRequestId()), options.s3);
  CoordinatorDaemonOptions daemon_options;
  daemon_options.data_directory = parts->directory;
  daemon_options.server.address = absl::StrCat("unix:", parts->directory, "/socket");
  std::error_code error;
  std::filesystem::create_directories(parts->directory, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("can not make '", parts->directory, "': ", error.message(), "; name another with --state-dir"));
  }
  GPTVQ_ASSIGN_OR_RETURN(
      parts->daemon, CoordinatorDaemon::Start(daemon_options, parts->probe, parts->clock, parts->registry, parts->log));
  parts->client = std::make_unique<JobClient>(JobClientOptions{.address = "this process"},
                                              parts->daemon->InProcessChannel(), parts->clock);
  for (PlacedTeam& slot : slots) {
    const int number = static_cast<int>(parts->workers.size());
    parts->workers.push_back(std::make_unique<EmbeddedWorker>(
        number, std::move(slot), parts->daemon->InProcessChannel(), parts->storage, parts->clock, parts->log));
  }
  return std::unique_ptr<EmbeddedRunner>(new EmbeddedRunner(std::move(parts)));
}

EmbeddedRunner::EmbeddedRunner(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

EmbeddedRunner::~EmbeddedRunner() = default;

JobClient& EmbeddedRunner::client() { return *parts_->client; }

}  // namespace gptvq

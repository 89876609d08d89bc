#include "server/coordinator_daemon.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job_store/sqlite_job_store.h"
#include "platform/object_store/artifact_store.h"
#include "platform/object_store/object_uri.h"
#include "platform/object_store/storage.h"
#include "server/coordinator.h"
#include "server/job_service.h"
#include "server/seal.h"
#include "server/submission.h"
#include "server/worker_service.h"

namespace gptvq {
namespace {

CoordinatorOptions CoordinatorOptionsFor(const CoordinatorDaemonOptions& options) {
  CoordinatorOptions result;
  result.scheduler.lease_ttl = options.lease_ttl;
  // A lost lease is noticed within a quarter of its ttl.
  result.tick_period =
      std::clamp(options.lease_ttl / 4, std::chrono::milliseconds(25), std::chrono::milliseconds(1'000));
  return result;
}

absl::StatusOr<ObjectUri> ArtifactStoreUri(const CoordinatorDaemonOptions& options) {
  if (!options.artifact_store_uri.empty()) return ObjectUri::ParseArgument(options.artifact_store_uri);
  return ObjectUri::ParseArgument(options.data_directory + "/store");
}

}  // namespace

absl::Status CoordinatorDaemonOptions::Validate() const {
  if (data_directory.empty()) return absl::InvalidArgumentError("data_directory: is required");
  if (lease_ttl < std::chrono::milliseconds(100) || lease_ttl > std::chrono::hours(1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("lease_ttl: ", lease_ttl.count(), " ms is not between 100 ms and 1 h"));
  }
  return absl::OkStatus();
}

// In the order in which they are built; destroyed in the opposite one.
struct CoordinatorDaemon::Parts {
  Parts(std::unique_ptr<JobStore> store, std::unique_ptr<ObjectStore> objects, std::string secret, std::string uri,
        const CoordinatorDaemonOptions& options, InputProbe& probe, Clock& clock, MetricsRegistry& registry,
        Logger& log)
      : log(log),
        job_store(std::move(store)),
        object_store(std::move(objects)),
        artifact_store(*object_store),
        artifact_store_uri(std::move(uri)),
        seal(std::move(secret)),
        metrics(registry),
        coordinator(*job_store, clock, metrics, CoordinatorOptionsFor(options)),
        submission(coordinator, probe),
        job_service(coordinator, submission, seal, metrics),
        worker_service(coordinator, artifact_store, seal, metrics, {.artifact_store_uri = artifact_store_uri}) {}

  Logger& log;
  const std::unique_ptr<JobStore> job_store;
  const std::unique_ptr<ObjectStore> object_store;
  ArtifactStore artifact_store;
  const std::string artifact_store_uri;
  const Seal seal;
  CoordinatorMetrics metrics;
  Coordinator coordinator;
  Submission submission;
  GrpcJobService job_service;
  GrpcWorkerService worker_service;
  std::unique_ptr<GrpcServer> server;
};

absl::StatusOr<std::unique_ptr<CoordinatorDaemon>> CoordinatorDaemon::Start(const CoordinatorDaemonOptions& options,
                                                                            InputProbe& probe, Clock& clock,
                                                                            MetricsRegistry& registry, Logger& log) {
  GPTVQ_RETURN_IF_ERROR(options.Validate());
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<JobStore> job_store, SqliteJobStore::Open(options.data_directory));
  GPTVQ_ASSIGN_OR_RETURN(std::string secret, job_store->Secret());
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ArtifactStoreUri(options));
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<ObjectStore> object_store,
                         Storage({.file_roots = {}, .s3 = options.s3}).CreateStore(uri));
  GPTVQ_RETURN_IF_ERROR(WithContext(object_store->RemoveAbandonedWrites(ListScope::kRecursive), uri.ToString()));

  auto parts = std::make_unique<Parts>(std::move(job_store), std::move(object_store), std::move(secret), uri.ToString(),
                                       options, probe, clock, registry, log);
  GPTVQ_RETURN_IF_ERROR(WithContext(parts->coordinator.Start(), options.data_directory));
  GPTVQ_ASSIGN_OR_RETURN(parts->server,
                         GrpcServer::Start(options.server, {&parts->job_service, &parts->worker_service}));
  log.Info("serving", {{"address", parts->server->address()},
                       {"data_directory", options.data_directory},
                       {"artifact_store", parts->artifact_store_uri},
                       {"lease_ttl_ms", options.lease_ttl.count()}});
  return std::unique_ptr<CoordinatorDaemon>(new CoordinatorDaemon(std::move(parts)));
}

CoordinatorDaemon::CoordinatorDaemon(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

CoordinatorDaemon::~CoordinatorDaemon() { Stop(std::chrono::milliseconds(0)); }

const std::string& CoordinatorDaemon::address() const { return parts_->server->address(); }

const std::string& CoordinatorDaemon::artifact_store_uri() const { return parts_->artifact_store_uri; }

std::shared_ptr<grpc::Channel> CoordinatorDaemon::InProcessChannel() { return parts_->server->InProcessChannel(); }

void CoordinatorDaemon::Stop(std::chrono::milliseconds grace) {
  parts_->server->ShowNotServing();
  parts_->coordinator.Drain();
  parts_->server->Shutdown(grace);
}

}  // namespace gptvq

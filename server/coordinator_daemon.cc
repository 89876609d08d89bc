#include "server/coordinator_daemon.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job_store/postgres_job_store.h"
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
  result.scheduler.stall_after = options.stall_after;
  // A lost lease is noticed within a quarter of its ttl.
  result.tick_period =
      std::clamp(options.lease_ttl / 4, std::chrono::milliseconds(25), std::chrono::milliseconds(1'000));
  return result;
}

// How the others on the same journal call this coordinator.
std::string NameOfThisProcess() {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return absl::StrCat(host.data(), ", process ", getpid());
}

absl::StatusOr<std::unique_ptr<JobStore>> OpenJournal(const CoordinatorDaemonOptions& options, Clock& clock) {
  if (options.journal_uri.empty()) return SqliteJobStore::Open(options.data_directory);
  PostgresJobStore::Options journal;
  journal.leader.uri = options.journal_uri;
  journal.leader.name = NameOfThisProcess();
  return PostgresJobStore::Open(journal, clock);
}

absl::StatusOr<ObjectUri> ArtifactStoreUri(const CoordinatorDaemonOptions& options) {
  if (!options.artifact_store_uri.empty()) return ObjectUri::ParseArgument(options.artifact_store_uri);
  return ObjectUri::ParseArgument(options.data_directory + "/store");
}

}  // namespace

absl::Status CoordinatorDaemonOptions::Validate() const {
  if (journal_uri.empty() && data_directory.empty()) {
    return absl::InvalidArgumentError("data_directory (--data-dir): is required, unless --journal names a database");
  }
  if (!journal_uri.empty() && artifact_store_uri.empty()) {
    return absl::InvalidArgumentError(
        "artifact_store_uri (--store): is required with --journal, and must be a place that all coordinators on it "
        "reach");
  }
  if (!journal_uri.empty()) GPTVQ_RETURN_IF_ERROR(WithContext(CheckPostgresUri(journal_uri), "--journal"));
  if (lease_ttl < std::chrono::milliseconds(100) || lease_ttl > std::chrono::hours(1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("lease_ttl: ", lease_ttl.count(), " ms is not between 100 ms and 1 h"));
  }
  if (stall_after < std::chrono::seconds(1) || stall_after > std::chrono::hours(24)) {
    return absl::InvalidArgumentError(
        absl::StrCat("stall_after: ", stall_after.count(), " ms is not between 1 s and 1 day"));
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
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<JobStore> job_store, OpenJournal(options, clock));
  GPTVQ_ASSIGN_OR_RETURN(std::string secret, job_store->Secret());
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ArtifactStoreUri(options));
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<ObjectStore> object_store,
                         Storage({.file_roots = {}, .s3 = options.s3}).CreateStore(uri));
  GPTVQ_RETURN_IF_ERROR(WithContext(object_store->RemoveAbandonedWrites(ListScope::kRecursive), uri.ToString()));

  auto parts = std::make_unique<Parts>(std::move(job_store), std::move(object_store), std::move(secret), uri.ToString(),
                                       options, probe, clock, registry, log);
  GPTVQ_ASSIGN_OR_RETURN(parts->server,
                         GrpcServer::Start(options.server, {&parts->job_service, &parts->worker_service}));
  const auto show_readiness = [&server = *parts->server, &log](const absl::Status& readiness) {
    if (readiness.ok()) {
      server.ShowServing();
      log.Info("ready");
    } else {
      server.ShowNotServing();
      log.Warning("not ready", {{"why", std::string(readiness.message())}});
    }
  };
  GPTVQ_RETURN_IF_ERROR(WithContext(parts->coordinator.Start(show_readiness), "journal"));
  log.Info("serving", {{"address", parts->server->address()},
                       {"journal", options.journal_uri.empty() ? options.data_directory : options.journal_uri},
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
  parts_->coordinator.Drain();  // and no news of its readiness any more
  parts_->server->ShowNotServing();
  parts_->server->Shutdown(grace);
}

}  // namespace gptvq

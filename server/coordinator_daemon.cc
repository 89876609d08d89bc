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
#include "platform/secret.h"
#include "platform/tls/certificate_watch.h"
#include "platform/tls/tls_files.h"
#include "server/access_control.h"
#include "server/audit_log.h"
#include "server/call_guard.h"
#include "server/coordinator.h"
#include "server/garbage_collector.h"
#include "server/job_service.h"
#include "server/seal.h"
#include "server/submission.h"
#include "server/upload_records.h"
#include "server/worker_service.h"

namespace gptvq {
namespace {

// Probes come one at a time, from few places.
constexpr int kMaxHealthConnections = 64;
// A worker that stored an artifact names it long before.
constexpr std::chrono::hours kUnknownGrace(7 * 24);
constexpr std::chrono::hours kLongestGrace(10 * 365 * 24);

CoordinatorOptions CoordinatorOptionsFor(const CoordinatorDaemonOptions& options) {
  CoordinatorOptions result;
  result.scheduler.lease_ttl = options.lease_ttl;
  result.scheduler.stall_after = options.stall_after;
  result.garbage.artifact_grace = options.artifact_grace;
  result.garbage.boundary_grace = options.boundary_grace;
  if (options.prune_unknown) result.garbage.unknown_grace = kUnknownGrace;
  result.audit_fraction = options.audit_fraction;
  result.scheduler.audit_patience = options.lease_ttl;
  result.scheduler.dispute_patience = 10 * options.lease_ttl;
  result.scheduler.trust.first_quarantine = options.quarantine;
  result.scheduler.trust.probe_period = options.quarantine / 10;
  // A lost lease is noticed within a quarter of its ttl.
  result.tick_period =
      std::clamp(options.lease_ttl / 4, std::chrono::milliseconds(25), std::chrono::milliseconds(1'000));
  return result;
}

GarbageCollectorOptions CollectorOptionsFor(const CoordinatorDaemonOptions& options, const Secret& secret) {
  GarbageCollectorOptions result;
  result.owner = Digest::Of(AsBytes("artifacts of " + secret.Reveal())).hex();
  result.upload_records = UploadsDirectory(result.owner);
  result.period = std::clamp(std::min(options.artifact_grace, options.boundary_grace) / 10,
                             std::chrono::milliseconds(25), std::chrono::milliseconds(60'000));
  return result;
}

// How the others on the same journal call this coordinator.
std::string NameOfThisProcess() {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return absl::StrCat(host.data(), ", process ", getpid());
}

absl::StatusOr<std::unique_ptr<JobStore>> OpenJournal(const CoordinatorDaemonOptions& options, Clock& clock,
                                                      Logger& log) {
  if (options.journal_uri.empty()) return SqliteJobStore::Open(options.data_directory, options.on_sync_failure);
  PostgresJobStore::Options journal;
  journal.leader.uri = options.journal_uri;
  journal.leader.name = NameOfThisProcess();
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<PostgresJobStore> store, PostgresJobStore::Open(journal, clock));
  if (!store->knows_timeline()) {
    log.Warning(
        "the database does not say which cluster and timeline it is, so every start of its server begins a "
        "generation of epochs",
        {{"remedy", "GRANT EXECUTE ON FUNCTION pg_control_system() to the role of --journal"}});
  }
  return store;
}

absl::StatusOr<ObjectUri> ArtifactStoreUri(const CoordinatorDaemonOptions& options) {
  if (!options.artifact_store_uri.empty()) return ObjectUri::ParseArgument(options.artifact_store_uri);
  return ObjectUri::ParseArgument(options.data_directory + "/store");
}

// Who may do what: everybody everything without TLS, else by certificate and token.
absl::StatusOr<AccessControl> AccessControlFor(const CoordinatorDaemonOptions& options, Clock& clock, Logger& log) {
  if (options.server.tls.empty()) return AccessControl();
  GPTVQ_ASSIGN_OR_RETURN(const TlsIdentity own, CheckTlsFiles(options.server.tls, clock.WallNow()));
  if (own.identity.role != Role::kCoordinator) {
    return absl::InvalidArgumentError(absl::StrCat("--tls-cert: ", options.server.tls.certificate,
                                                   " is a certificate of ", own.identity.ToString(),
                                                   "; a coordinator needs one of "
                                                   "spiffe://DOMAIN/gptvq/coordinator/NAME"));
  }
  std::unique_ptr<ClientTokens> tokens;
  if (!options.client_tokens_file.empty()) {
    absl::StatusOr<std::unique_ptr<ClientTokens>> loaded = ClientTokens::Load(options.client_tokens_file, clock, log);
    GPTVQ_RETURN_IF_ERROR(WithContext(loaded.status(), "--client-tokens"));
    tokens = *std::move(loaded);
  }
  std::unique_ptr<Revocations> revocations;
  if (!options.revocations_file.empty()) {
    absl::StatusOr<std::unique_ptr<Revocations>> loaded =
        Revocations::Load(options.revocations_file, options.server.tls.authority, clock, log);
    GPTVQ_RETURN_IF_ERROR(WithContext(loaded.status(), "--tls-crl"));
    revocations = *std::move(loaded);
  }
  return AccessControl(own.identity.trust_domain, std::move(tokens), std::move(revocations));
}

absl::StatusOr<std::unique_ptr<AuditLog>> AuditLogFor(const CoordinatorDaemonOptions& options, Logger& log) {
  if (options.audit_log_file.empty()) return std::unique_ptr<AuditLog>();
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<AuditLog> audit_log, AuditLog::Open(options.audit_log_file));
  if (audit_log->was_torn()) {
    log.Warning("the last line of the audit log was not written whole", {{"file", options.audit_log_file}});
  }
  return audit_log;
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
  for (const auto& [name, grace] : {std::pair("artifact_grace", artifact_grace), {"boundary_grace", boundary_grace}}) {
    if (grace < std::chrono::milliseconds(0) || grace > kLongestGrace) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": ", grace.count(), " ms is not between 0 and 10 years"));
    }
  }
  if (quarantine < std::chrono::seconds(1) || quarantine > std::chrono::hours(24)) {
    return absl::InvalidArgumentError(
        absl::StrCat("quarantine: ", quarantine.count(), " ms is not between 1 s and 1 day"));
  }
  if (!(audit_fraction >= 0 && audit_fraction <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("audit_fraction: ", audit_fraction, " is not between 0 and 1"));
  }
  for (const auto& [flag, file] :
       {std::pair("--client-tokens", &client_tokens_file), std::pair("--tls-crl", &revocations_file)}) {
    if (file->empty() || !server.tls.empty()) continue;
    return absl::InvalidArgumentError(absl::StrCat(flag, " needs --tls-cert, --tls-key and --tls-ca"));
  }
  return server.Validate();
}

// In the order in which they are built; destroyed in the opposite one.
struct CoordinatorDaemon::Parts {
  Parts(AccessControl access_control, std::unique_ptr<AuditLog> audit, std::unique_ptr<JobStore> store,
        std::unique_ptr<ObjectStore> objects, Secret secret, std::string uri, const CoordinatorDaemonOptions& options,
        InputProbe& probe, Clock& clock, MetricsRegistry& registry, Logger& log)
      : log(log),
        access(std::move(access_control)),
        audit_log(std::move(audit)),
        guard(access, audit_log.get(), clock, log),
        job_store(std::move(store)),
        object_store(std::move(objects)),
        artifact_store(*object_store),
        artifact_store_uri(std::move(uri)),
        garbage_options(CollectorOptionsFor(options, secret)),
        seal(std::move(secret)),
        metrics(registry),
        garbage_metrics(registry),
        coordinator(*job_store, clock, metrics, CoordinatorOptionsFor(options)),
        submission(coordinator, probe),
        job_service(coordinator, submission, seal, metrics, guard),
        worker_service(
            coordinator, artifact_store, seal, metrics, guard, clock,
            {.artifact_store_uri = artifact_store_uri, .parked_uploads = {.records = garbage_options.upload_records}}),
        collector(coordinator, *object_store, clock, garbage_metrics, log, garbage_options) {}

  void ShowReadiness(const absl::Status& readiness) {
    if (!readiness.ok()) {
      ShowNotServing();
      log.Warning("not ready", {{"why", std::string(readiness.message())}});
      return;
    }
    server->ShowServing();
    if (health_server != nullptr) health_server->ShowServing();
    log.Info("ready");
  }
  void ShowNotServing() {
    server->ShowNotServing();
    if (health_server != nullptr) health_server->ShowNotServing();
  }

  Logger& log;
  const AccessControl access;
  const std::unique_ptr<AuditLog> audit_log;
  const CallGuard guard;
  const std::unique_ptr<JobStore> job_store;
  const std::unique_ptr<ObjectStore> object_store;
  ArtifactStore artifact_store;
  const std::string artifact_store_uri;
  const GarbageCollectorOptions garbage_options;
  const Seal seal;
  CoordinatorMetrics metrics;
  GarbageMetrics garbage_metrics;
  Coordinator coordinator;
  Submission submission;
  GrpcJobService job_service;
  GrpcWorkerService worker_service;
  GarbageCollector collector;
  std::unique_ptr<GrpcServer> server;
  std::unique_ptr<GrpcServer> health_server;
  std::unique_ptr<CertificateWatch> certificate_watch;
};

absl::StatusOr<std::unique_ptr<CoordinatorDaemon>> CoordinatorDaemon::Start(const CoordinatorDaemonOptions& options,
                                                                            InputProbe& probe, Clock& clock,
                                                                            MetricsRegistry& registry, Logger& log) {
  GPTVQ_RETURN_IF_ERROR(options.Validate());
  GPTVQ_ASSIGN_OR_RETURN(AccessControl access, AccessControlFor(options, clock, log));
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<AuditLog> audit_log, AuditLogFor(options, log));
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<JobStore> job_store, OpenJournal(options, clock, log));
  GPTVQ_ASSIGN_OR_RETURN(std::string secret, job_store->Secret());
  GPTVQ_ASSIGN_OR_RETURN(const ObjectUri uri, ArtifactStoreUri(options));
  GPTVQ_ASSIGN_OR_RETURN(std::unique_ptr<ObjectStore> object_store,
                         Storage({.file_roots = {}, .s3 = options.s3}).CreateStore(uri));

  auto parts =
      std::make_unique<Parts>(std::move(access), std::move(audit_log), std::move(job_store), std::move(object_store),
                              Secret(std::move(secret)), uri.ToString(), options, probe, clock, registry, log);
  // From here on the process is seen to be alive, however long reading store and journal takes.
  GPTVQ_ASSIGN_OR_RETURN(parts->server, GrpcServer::Start(options.server, {&parts->job_service, &parts->worker_service},
                                                          parts->guard, log));
  if (!options.health_address.empty()) {
    const GrpcServerOptions health = {.address = options.health_address,
                                      .plain_text = PlainText::kAnywhere,
                                      .max_connections = kMaxHealthConnections};
    GPTVQ_ASSIGN_OR_RETURN(parts->health_server, GrpcServer::Start(health, {}, parts->guard, log));
    log.Info("serving health", {{"address", parts->health_server->address()}});
  }
  GPTVQ_RETURN_IF_ERROR(WithContext(parts->object_store->RemoveAbandonedWrites(ListScope::kRecursive), uri.ToString()));
  const auto show_readiness = [&parts = *parts](const absl::Status& readiness) { parts.ShowReadiness(readiness); };
  GPTVQ_RETURN_IF_ERROR(WithContext(parts->coordinator.Start(show_readiness), "journal"));
  if (!options.server.tls.empty()) {
    parts->certificate_watch = std::make_unique<CertificateWatch>(options.server.tls, clock, registry, log);
  }
  parts->collector.Start();
  log.Info("serving", {{"address", parts->server->address()},
                       {"journal", options.journal_uri.empty() ? options.data_directory : options.journal_uri},
                       {"artifact_store", parts->artifact_store_uri},
                       {"tls", !options.server.tls.empty()},
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
  parts_->ShowNotServing();
  parts_->server->Shutdown(grace);
}

}  // namespace gptvq

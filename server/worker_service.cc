#include "server/worker_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"
#include "platform/rpc/convert_report.h"
#include "platform/rpc/convert_task.h"
#include "platform/rpc/convert_time.h"
#include "platform/rpc/convert_worker.h"
#include "platform/rpc/protocol_version.h"
#include "platform/version.h"
#include "server/layer_receiver.h"
#include "server/lost_inputs.h"
#include "server/planner.h"
#include "server/rpc_call.h"
#include "server/stored_outputs.h"

namespace gptvq {
namespace {

constexpr std::size_t kMaxNameBytes = 128;
constexpr int kMaxSlots = 64;
constexpr int kMaxLostArtifacts = kMaxPlannedLayers + 1;  // a boundary and every layer
constexpr std::size_t kMaxSlotBytes = 64;
// An empty poll that did not wait is repeated no sooner.
constexpr std::chrono::milliseconds kPollPause(1'000);
// After so many bytes of a layer its sender has to hold the lease still.
constexpr std::uint64_t kLeaseCheckBytes = 8 << 20;

absl::Status Invalid(absl::string_view message) {
  return Refuse(ErrorReason::kInvalidField, std::string_view(message.data(), message.size()));
}

// [A-Za-z0-9][A-Za-z0-9 and `more`]{0,127}
bool IsName(std::string_view text, std::string_view more) {
  const auto is_alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (text.empty() || text.size() > kMaxNameBytes || !is_alphanumeric(text[0])) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return is_alphanumeric(c) || more.find(c) != std::string_view::npos; });
}

bool IsIncarnation(std::string_view text) {
  return text.size() == 32 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

absl::StatusOr<WorkerKey> WorkerFrom(const std::string& name, const std::string& incarnation) {
  if (!IsName(name, "._-")) return Invalid("worker_name: not [A-Za-z0-9][A-Za-z0-9._-]{0,127}");
  if (!IsIncarnation(incarnation)) return Invalid("incarnation: not 32 lower-case hexadecimal digits");
  return WorkerKey{name, incarnation};
}

absl::Status CheckProtocol(const std::string& version) {
  const std::string_view ours = kProtocolVersion;
  if (version.substr(0, version.find('.')) == ours.substr(0, ours.find('.'))) return absl::OkStatus();
  return Refuse(ErrorReason::kUpgradeRequired,
                absl::StrCat("worker speaks protocol '", version, "', the coordinator ", std::string(ours)));
}

absl::StatusOr<std::vector<DeviceSlot>> SlotsFrom(const v1::RegisterWorkerRequest& request) {
  if (request.slots_size() < 1 || request.slots_size() > kMaxSlots) return Invalid("slots: not between 1 and 64");
  std::vector<DeviceSlot> slots;
  for (const v1::DeviceSlot& slot : request.slots()) {
    if (slot.name().empty() || slot.name().size() > kMaxSlotBytes || slot.description().size() > 256) {
      return Invalid("slots: a name or description is empty or too long");
    }
    slots.push_back({slot.name(), slot.description(), slot.memory_bytes()});
  }
  return slots;
}

absl::Status CheckSpeaksFor(const Caller& caller, const std::string& worker_name) {
  if (caller.IsWorker(worker_name)) return absl::OkStatus();
  return Refuse(ErrorReason::kIdentityMismatch,
                absl::StrCat(caller.owner(), " may not speak for the worker ", worker_name));
}

}  // namespace

GrpcWorkerService::GrpcWorkerService(Coordinator& coordinator, ArtifactStore& store, const Seal& seal,
                                     CoordinatorMetrics& metrics, const CallGuard& guard, Clock& clock,
                                     WorkerServiceOptions options)
    : coordinator_(coordinator),
      store_(store),
      seal_(seal),
      metrics_(metrics),
      desk_{coordinator, metrics, guard},
      clock_(clock),
      options_(std::move(options)),
      upload_slots_(options_.max_uploads, metrics.uploads),
      uploads_(store, clock, options_.parked_uploads) {}

grpc::Status GrpcWorkerService::RegisterWorker(grpc::ServerContext* context, const v1::RegisterWorkerRequest* request,
                                               v1::RegisterWorkerResponse* response) {
  return HandleUnaryCall("RegisterWorker", *context, *request, desk_,
                         [&](Call& call) { return Register(call, *request, *response); });
}

absl::Status GrpcWorkerService::Register(const Call& call, const v1::RegisterWorkerRequest& request,
                                         v1::RegisterWorkerResponse& response) {
  GPTVQ_RETURN_IF_ERROR(CheckProtocol(request.protocol_version()));
  gptvq::RegisterWorker event;
  GPTVQ_ASSIGN_OR_RETURN(event.worker, WorkerFrom(request.worker_name(), request.incarnation()));
  GPTVQ_RETURN_IF_ERROR(CheckSpeaksFor(call.caller, request.worker_name()));
  if (!IsName(request.numerics_class(), "._/+-")) {
    return Invalid("numerics_class: not [A-Za-z0-9][A-Za-z0-9._/+-]{0,127}");
  }
  if (request.version().size() > 64) return Invalid("version: longer than 64 bytes");
  event.numerics_class = request.numerics_class();
  event.version = request.version();
  GPTVQ_ASSIGN_OR_RETURN(event.slots, SlotsFrom(request));
  GPTVQ_ASSIGN_OR_RETURN(event.devices, DevicesFromProto(request.devices()));
  GPTVQ_RETURN_IF_ERROR(coordinator_.Record(std::move(event)).status());

  const std::chrono::milliseconds ttl = coordinator_.options().scheduler.lease_ttl;
  response.set_artifact_store_uri(options_.artifact_store_uri);
  *response.mutable_heartbeat_period() = ToProto(ttl / 3);
  *response.mutable_lease_ttl() = ToProto(ttl);
  response.set_max_chunk_bytes(kMaxChunkBytes);
  response.set_coordinator_version(std::string(Version()));
  return absl::OkStatus();
}

grpc::Status GrpcWorkerService::LeaseTask(grpc::ServerContext* context, const v1::LeaseTaskRequest* request,
                                          v1::LeaseTaskResponse* response) {
  return HandleUnaryCall("LeaseTask", *context, *request, desk_,
                         [&](Call& call) { return Poll(call, *context, *request, *response); });
}

absl::Status GrpcWorkerService::Poll(Call& call, const grpc::ServerContext& context,
                                     const v1::LeaseTaskRequest& request, v1::LeaseTaskResponse& response) {
  PollTask poll;
  GPTVQ_ASSIGN_OR_RETURN(poll.worker, WorkerFrom(request.worker_name(), request.incarnation()));
  GPTVQ_RETURN_IF_ERROR(CheckSpeaksFor(call.caller, request.worker_name()));
  if (!IsName(request.poll_id(), "-") || request.poll_id().size() > 64)
    return Invalid("poll_id: not [A-Za-z0-9-]{1,64}");
  poll.poll_id = request.poll_id();
  const std::chrono::milliseconds wait = FromProto(request.wait());
  if (wait < std::chrono::milliseconds(0)) return Invalid("wait: negative");
  if (request.slot().size() > kMaxSlotBytes) return Invalid("slot: longer than 64 bytes");
  poll.slot = request.slot();
  GPTVQ_ASSIGN_OR_RETURN(poll.devices, DevicesFromProto(request.devices()));
  GPTVQ_ASSIGN_OR_RETURN(const Decision decision, coordinator_.Poll(poll, wait, [&] { return context.IsCancelled(); }));
  if (decision.outcome != Outcome::kNothing) {
    GPTVQ_ASSIGN_OR_RETURN(std::optional<TaskGrant> grant, coordinator_.FindGrant(decision.task_id, poll));
    if (grant) {
      call.job_id = grant->job_id;
      grant->lease.token = seal_.LeaseToken(grant->lease);
      *response.mutable_grant() = ToProto(*grant);
      return absl::OkStatus();
    }
  }
  call.changed_nothing = true;
  *response.mutable_retry_after() = ToProto(kPollPause);
  return absl::OkStatus();
}

grpc::Status GrpcWorkerService::RenewLease(grpc::ServerContext* context, const v1::RenewLeaseRequest* request,
                                           v1::RenewLeaseResponse* response) {
  return HandleUnaryCall("RenewLease", *context, *request, desk_,
                         [&](Call& call) { return Renew(call, *request, *response); });
}

absl::Status GrpcWorkerService::Renew(Call& call, const v1::RenewLeaseRequest& request,
                                      v1::RenewLeaseResponse& response) {
  gptvq::RenewLease event;
  GPTVQ_ASSIGN_OR_RETURN(event.lease, GenuineLease(request.lease(), call));
  GPTVQ_ASSIGN_OR_RETURN(event.progress, FromProto(request.progress()));
  GPTVQ_ASSIGN_OR_RETURN(event.devices, DevicesFromProto(request.devices()));
  GPTVQ_ASSIGN_OR_RETURN(const Decision decision, coordinator_.Record(std::move(event)));
  *response.mutable_ttl() = ToProto(coordinator_.options().scheduler.lease_ttl);
  response.set_cancel_requested(decision.outcome == Outcome::kCancelRequested);
  return absl::OkStatus();
}

grpc::Status GrpcWorkerService::PublishLayer(grpc::ServerContext* context,
                                             grpc::ServerReader<v1::PublishLayerRequest>* reader,
                                             v1::PublishLayerResponse* response) {
  return HandleCall("PublishLayer", *context, desk_, [&](Call& call) {
    SilenceWatch silence(options_.upload_silence, clock_, *context);
    return Publish(call, {*context, *reader, silence}, *response);
  });
}

absl::Status GrpcWorkerService::Publish(Call& call, UploadStream stream, v1::PublishLayerResponse& response) {
  v1::PublishLayerRequest first;
  const bool has_header = stream.silence.Read(stream.reader, first) && first.has_header();
  GPTVQ_RETURN_IF_ERROR(stream.silence.status());
  if (!has_header) return Invalid("the first message is no header");
  gptvq::PublishLayer event;
  GPTVQ_ASSIGN_OR_RETURN(event.lease, GenuineLease(first.header().lease(), call));
  v1::PublishedLayer layer;
  layer.set_layer(first.header().layer());
  *layer.mutable_artifact()->mutable_digest() = first.header().digest();
  *layer.mutable_linears() = first.header().linears();
  GPTVQ_ASSIGN_OR_RETURN(event.layer, FromProto(layer));
  // Who lost the lease learns it before sending the bytes; the journal is asked again when they are there.
  GPTVQ_RETURN_IF_ERROR(coordinator_.CheckHolder(event.lease));

  const std::uint64_t first_offset = first.header().first_offset();
  if (first_offset > 0 && first_offset == event.layer.artifact.size_bytes()) {
    GPTVQ_ASSIGN_OR_RETURN(const bool published, coordinator_.WasRecorded(event));
    if (!published) return Refuse(ErrorReason::kChunkOutOfOrder, "the layer was not published; send its bytes");
    response.set_acceptance(v1::PublishLayerResponse::ACCEPTANCE_ALREADY_PUBLISHED);
    return absl::OkStatus();
  }
  LayerUploads::Call upload(uploads_, {event.lease.task_id, event.lease.epoch, event.layer.layer, event.layer.artifact},
                            [&context = stream.context] { context.TryCancel(); });
  GPTVQ_ASSIGN_OR_RETURN(const DeletionCount seen, Receive(event.lease, upload, first_offset, stream));
  GPTVQ_ASSIGN_OR_RETURN(const Decision decision, coordinator_.Record(std::move(event), seen));
  response.set_acceptance(decision.outcome == Outcome::kRepeated
                              ? v1::PublishLayerResponse::ACCEPTANCE_ALREADY_PUBLISHED
                              : v1::PublishLayerResponse::ACCEPTANCE_PUBLISHED);
  return absl::OkStatus();
}

absl::StatusOr<DeletionCount> GrpcWorkerService::Receive(const Lease& lease, LayerUploads::Call& upload,
                                                         std::uint64_t first_offset, UploadStream stream) {
  const ConcurrencyLimit::Slot slot = upload_slots_.TryTake(options_.upload_patience);
  if (slot == nullptr) {
    return WithRetryAfter(Refuse(ErrorReason::kTooManyUploads, "too many layers are being received"),
                          std::chrono::milliseconds(1'000));
  }
  GPTVQ_ASSIGN_OR_RETURN(LayerReceiver receiver, upload.Open(first_offset));
  const absl::Status received = ReceiveChunks(lease, stream, receiver);
  const bool may_go_on = received.ok() || absl::IsDeadlineExceeded(received) || absl::IsDataLoss(received);
  if (may_go_on && !receiver.is_complete() && receiver.received_bytes() >= kMaxChunkBytes) {
    upload.Park(std::move(receiver));
    GPTVQ_RETURN_IF_ERROR(received);
    return Refuse(ErrorReason::kChunkOutOfOrder, "the stream ended before the layer was complete");
  }
  // Whoever sends it again goes on behind what is saved, unless the lease is over, the storage full, or the sender confused.
  if (!received.ok() && !absl::IsUnavailable(received)) receiver.Discard();
  GPTVQ_RETURN_IF_ERROR(received);
  const DeletionCount seen = coordinator_.deletion_count();  // before the artifact is there
  GPTVQ_RETURN_IF_ERROR(receiver.Finish());
  return seen;
}

absl::Status GrpcWorkerService::ReceiveChunks(const Lease& lease, UploadStream stream, LayerReceiver& receiver) {
  v1::PublishLayerRequest message;
  while (stream.silence.Read(stream.reader, message)) {
    if (!message.has_chunk()) return Invalid("a message after the header is no chunk");
    const v1::ArtifactChunk& chunk = message.chunk();
    const std::uint64_t parts = receiver.received_bytes() / kLeaseCheckBytes;
    GPTVQ_RETURN_IF_ERROR(receiver.Append(chunk.offset(), chunk.data(), chunk.crc32c()));
    metrics_.published_bytes.Increment(static_cast<double>(chunk.data().size()));
    if (receiver.received_bytes() / kLeaseCheckBytes != parts) GPTVQ_RETURN_IF_ERROR(coordinator_.CheckHolder(lease));
  }
  return stream.silence.status();
}

grpc::Status GrpcWorkerService::QueryUpload(grpc::ServerContext* context, const v1::QueryUploadRequest* request,
                                            v1::QueryUploadResponse* response) {
  return HandleUnaryCall("QueryUpload", *context, *request, desk_,
                         [&](Call& call) { return Query(call, *request, *response); });
}

absl::Status GrpcWorkerService::Query(Call& call, const v1::QueryUploadRequest& request,
                                      v1::QueryUploadResponse& response) {
  GPTVQ_ASSIGN_OR_RETURN(const Lease lease, GenuineLease(request.lease(), call));
  v1::PublishedLayer layer;
  layer.set_layer(request.layer());
  *layer.mutable_artifact()->mutable_digest() = request.digest();
  GPTVQ_ASSIGN_OR_RETURN(const PublishedLayer asked, FromProto(layer));
  GPTVQ_RETURN_IF_ERROR(coordinator_.CheckHolder(lease));
  GPTVQ_ASSIGN_OR_RETURN(const std::uint64_t received_bytes,
                         uploads_.ReceivedBytes({lease.task_id, lease.epoch, asked.layer, asked.artifact}));
  // Where only the answer was lost, nothing is sent again.
  GPTVQ_ASSIGN_OR_RETURN(const bool published, coordinator_.WasRecorded(gptvq::PublishLayer{lease, asked}));
  response.set_received_bytes(published ? asked.artifact.size_bytes() : received_bytes);
  return absl::OkStatus();
}

grpc::Status GrpcWorkerService::CheckpointTask(grpc::ServerContext* context, const v1::CheckpointTaskRequest* request,
                                               v1::CheckpointTaskResponse* response) {
  return HandleUnaryCall("CheckpointTask", *context, *request, desk_,
                         [&](Call& call) { return Checkpoint(call, *request, *response); });
}

absl::Status GrpcWorkerService::Checkpoint(Call& call, const v1::CheckpointTaskRequest& request,
                                           v1::CheckpointTaskResponse& response) {
  gptvq::CheckpointTask event;
  GPTVQ_ASSIGN_OR_RETURN(event.lease, GenuineLease(request.lease(), call));
  GPTVQ_ASSIGN_OR_RETURN(event.checkpoint, FromProto(request.checkpoint()));
  GPTVQ_RETURN_IF_ERROR(coordinator_.CheckHolder(event.lease));  // before the store is asked on behalf of anybody
  const DeletionCount seen = coordinator_.deletion_count();
  GPTVQ_RETURN_IF_ERROR(CheckStored("checkpoint", event.checkpoint.artifact, store_));
  GPTVQ_ASSIGN_OR_RETURN(const Decision decision, coordinator_.Record(std::move(event), seen));
  response.set_acceptance(decision.outcome == Outcome::kRepeated ? v1::CheckpointTaskResponse::ACCEPTANCE_ALREADY_KEPT
                                                                 : v1::CheckpointTaskResponse::ACCEPTANCE_KEPT);
  return absl::OkStatus();
}

grpc::Status GrpcWorkerService::CompleteTask(grpc::ServerContext* context, const v1::CompleteTaskRequest* request,
                                             v1::CompleteTaskResponse* response) {
  return HandleUnaryCall("CompleteTask", *context, *request, desk_,
                         [&](Call& call) { return Complete(call, *request, *response); });
}

absl::Status GrpcWorkerService::Complete(Call& call, const v1::CompleteTaskRequest& request,
                                         v1::CompleteTaskResponse& response) {
  gptvq::CompleteTask event;
  GPTVQ_ASSIGN_OR_RETURN(event.lease, GenuineLease(request.lease(), call));
  GPTVQ_ASSIGN_OR_RETURN(event.result, FromProto(request.result()));
  const DeletionCount seen = coordinator_.deletion_count();
  const absl::Status stored = CheckOutputsStored(event.result, store_);
  if (!stored.ok()) {
    // What was committed before may have been read by all who need it, and deleted.
    GPTVQ_ASSIGN_OR_RETURN(const bool repeated, coordinator_.WasRecorded(event));
    if (!repeated) return stored;
  }
  GPTVQ_ASSIGN_OR_RETURN(const Decision decision, coordinator_.Record(std::move(event), seen));
  if (ShowsNondeterminism(decision)) call.incident = "NONDETERMINISM";
  response.set_acceptance(decision.outcome == Outcome::kRepeated
                              ? v1::CompleteTaskResponse::ACCEPTANCE_ALREADY_COMMITTED
                              : v1::CompleteTaskResponse::ACCEPTANCE_COMMITTED);
  return absl::OkStatus();
}

grpc::Status GrpcWorkerService::FailTask(grpc::ServerContext* context, const v1::FailTaskRequest* request,
                                         v1::FailTaskResponse*) {
  return HandleUnaryCall("FailTask", *context, *request, desk_, [&](Call& call) { return Fail(call, *request); });
}

absl::Status GrpcWorkerService::Fail(Call& call, const v1::FailTaskRequest& request) {
  gptvq::FailTask event;
  GPTVQ_ASSIGN_OR_RETURN(event.lease, GenuineLease(request.lease(), call));
  event.failure = {FromProto(request.failure_class()), request.message().substr(0, kMaxFailureMessageBytes),
                   event.lease.worker_name};
  if (request.lost_artifacts_size() > 0) {
    GPTVQ_ASSIGN_OR_RETURN(event.lost, FindLost(request, event.lease));
  }
  const auto lost_count = static_cast<double>(event.lost.size());
  GPTVQ_ASSIGN_OR_RETURN(const Decision decision, coordinator_.Record(std::move(event)));
  if (decision.outcome == Outcome::kDone) metrics_.lost_artifacts.Increment(lost_count);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Digest>> GrpcWorkerService::FindLost(const v1::FailTaskRequest& request,
                                                                const Lease& lease) {
  if (request.lost_artifacts_size() > kMaxLostArtifacts) {
    return Invalid(absl::StrCat("lost_artifacts: more than ", kMaxLostArtifacts));
  }
  std::vector<Digest> named;
  for (const v1::Digest& proto : request.lost_artifacts()) {
    GPTVQ_ASSIGN_OR_RETURN(const Digest artifact, FromProto(proto));
    named.push_back(artifact);
  }
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<Digest> inputs, coordinator_.InputsOf(lease));
  return FindLostInputs(named, inputs, store_);
}

grpc::Status GrpcWorkerService::ReleaseTask(grpc::ServerContext* context, const v1::ReleaseTaskRequest* request,
                                            v1::ReleaseTaskResponse*) {
  return HandleUnaryCall("ReleaseTask", *context, *request, desk_, [&](Call& call) -> absl::Status {
    gptvq::ReleaseTask event;
    GPTVQ_ASSIGN_OR_RETURN(event.lease, GenuineLease(request->lease(), call));
    return coordinator_.Record(std::move(event)).status();
  });
}

absl::StatusOr<Lease> GrpcWorkerService::GenuineLease(const v1::Lease& proto, Call& call) const {
  GPTVQ_ASSIGN_OR_RETURN(Lease lease, FromProto(proto));
  call.job_id = std::string(JobIdOf(lease.task_id));
  GPTVQ_RETURN_IF_ERROR(CheckSpeaksFor(call.caller, lease.worker_name));
  if (seal_.IsGenuine(lease)) return lease;
  return Refuse(ErrorReason::kBadLeaseToken, absl::StrCat("the token does not belong to a lease of ", lease.task_id));
}

}  // namespace gptvq

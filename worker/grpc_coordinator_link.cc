#include "worker/grpc_coordinator_link.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "grpcpp/client_context.h"
#include "platform/clock.h"
#include "platform/job/error_reason.h"
#include "platform/rpc/convert_report.h"
#include "platform/rpc/convert_task.h"
#include "platform/rpc/convert_time.h"
#include "platform/rpc/convert_worker.h"
#include "platform/rpc/crc32c.h"
#include "platform/rpc/limits.h"
#include "platform/rpc/protocol_version.h"
#include "platform/rpc/status.h"
#include "platform/version.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kCallTimeout(10'000);
constexpr std::uint64_t kSlowestReadBytesPerMs = 8 << 10;
constexpr std::size_t kSlowestBytesPerMs = 1 << 10;  // a slower upload is given up and repeated

// One call: its deadline, and the stop token that ends it early.
class Call {
 public:
  Call(milliseconds timeout, std::stop_token stop)
      : stop_(std::move(stop)), on_stop_(stop_, [this] { context_.TryCancel(); }) {
    context_.set_deadline(std::chrono::system_clock::time_point(SystemClock().WallNow() + timeout));
  }

  grpc::ClientContext* context() { return &context_; }

  // How it ended.
  absl::Status Result(const grpc::Status& status) const {
    return stop_.stop_requested() ? FromGrpcStatus(status) : FromUncancelledCall(status);
  }

 private:
  const std::stop_token stop_;
  grpc::ClientContext context_;
  std::stop_callback<std::function<void()>> on_stop_;
};

v1::RegisterWorkerRequest RegistrationOf(const WorkerIdentity& identity) {
  v1::RegisterWorkerRequest request;
  request.set_worker_name(identity.name);
  request.set_incarnation(identity.incarnation);
  request.set_numerics_class(identity.numerics_class);
  request.set_version(std::string(Version()));
  request.set_protocol_version(std::string(kProtocolVersion));
  for (const DeviceSlot& slot : identity.slots) {
    v1::DeviceSlot* proto = request.add_slots();
    proto->set_name(slot.name);
    proto->set_description(slot.description);
    proto->set_memory_bytes(slot.memory_bytes);
  }
  return request;
}

// A message as the wire takes it: UTF-8, of which ASCII is the part that a cut cannot break.
std::string Printable(std::string_view message) {
  std::string text(message.substr(0, kMaxFailureMessageBytes));
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

}  // namespace

GrpcCoordinatorLink::GrpcCoordinatorLink(const CoordinatorChannels& channels, WorkerIdentity identity,
                                         HealthReader read_health)
    : identity_(std::move(identity)),
      read_health_(std::move(read_health)),
      stub_(v1::WorkerService::NewStub(channels.control)),
      layer_stub_(v1::WorkerService::NewStub(channels.layers == nullptr ? channels.control : channels.layers)),
      chunk_bytes_(kMaxChunkBytes) {}

template <typename Request>
void GrpcCoordinatorLink::AddDevices(Request& request) const {
  if (read_health_ == nullptr) return;
  for (DeviceHealth& device : read_health_()) {
    device.detail = Printable(device.detail);
    *request.add_devices() = ToProto(device);
  }
}

absl::StatusOr<Registration> GrpcCoordinatorLink::Register(std::stop_token stop) {
  Call call(kCallTimeout, std::move(stop));
  v1::RegisterWorkerRequest request = RegistrationOf(identity_);
  AddDevices(request);
  v1::RegisterWorkerResponse response;
  GPTVQ_RETURN_IF_ERROR(call.Result(stub_->RegisterWorker(call.context(), request, &response)));
  chunk_bytes_ = std::clamp(response.max_chunk_bytes(), 1, kMaxChunkBytes);
  return Registration{.artifact_store_uri = response.artifact_store_uri(),
                      .heartbeat_period = FromProto(response.heartbeat_period()),
                      .lease_ttl = FromProto(response.lease_ttl())};
}

absl::StatusOr<PollAnswer> GrpcCoordinatorLink::PollTask(const TaskPoll& poll, std::stop_token stop) {
  Call call(poll.wait + kCallTimeout, std::move(stop));
  v1::LeaseTaskRequest request;
  request.set_worker_name(identity_.name);
  request.set_incarnation(identity_.incarnation);
  request.set_poll_id(std::string(poll.poll_id));
  *request.mutable_wait() = ToProto(poll.wait);
  request.set_slot(std::string(poll.slot));
  AddDevices(request);
  v1::LeaseTaskResponse response;
  GPTVQ_RETURN_IF_ERROR(call.Result(stub_->LeaseTask(call.context(), request, &response)));
  PollAnswer answer;
  answer.retry_after = FromProto(response.retry_after());
  if (response.has_grant()) {
    GPTVQ_ASSIGN_OR_RETURN(answer.grant, FromProto(response.grant()));
  }
  return answer;
}

absl::StatusOr<RenewalAnswer> GrpcCoordinatorLink::RenewLease(const Lease& lease, const TaskProgress& progress,
                                                              std::stop_token stop) {
  Call call(kCallTimeout, std::move(stop));
  v1::RenewLeaseRequest request;
  *request.mutable_lease() = ToProto(lease);
  *request.mutable_progress() = ToProto(progress);
  AddDevices(request);
  v1::RenewLeaseResponse response;
  GPTVQ_RETURN_IF_ERROR(call.Result(stub_->RenewLease(call.context(), request, &response)));
  return response.cancel_requested() ? RenewalAnswer::kCancelRequested : RenewalAnswer::kContinue;
}

absl::Status GrpcCoordinatorLink::PublishLayer(const Lease& lease, const LayerPublication& layer,
                                               std::stop_token stop) {
  const Digest digest = Digest::Of(AsBytes(layer.packed));
  std::uint64_t first_offset = 0;
  if (layer.packed.size() > static_cast<std::size_t>(chunk_bytes_.load())) {
    GPTVQ_ASSIGN_OR_RETURN(first_offset, ReceivedBytes(lease, layer.layer, digest, stop));
  }
  const absl::Status sent = SendLayer(lease, layer, digest, first_offset, stop);
  // What it had when it was asked is gone.
  if (first_offset == 0 || ReasonOf(sent) != ErrorReason::kChunkOutOfOrder) return sent;
  return SendLayer(lease, layer, digest, 0, std::move(stop));
}

absl::StatusOr<std::uint64_t> GrpcCoordinatorLink::ReceivedBytes(const Lease& lease, int layer, const Digest& digest,
                                                                 std::stop_token stop) {
  Call call(kCallTimeout, std::move(stop));
  v1::QueryUploadRequest request;
  *request.mutable_lease() = ToProto(lease);
  request.set_layer(layer);
  *request.mutable_digest() = ToProto(digest).digest();
  v1::QueryUploadResponse response;
  const absl::Status status = call.Result(layer_stub_->QueryUpload(call.context(), request, &response));
  if (absl::IsUnimplemented(status)) return 0;
  GPTVQ_RETURN_IF_ERROR(status);
  return std::min(response.received_bytes(), digest.size_bytes());
}

absl::Status GrpcCoordinatorLink::SendLayer(const Lease& lease, const LayerPublication& layer, const Digest& digest,
                                            std::uint64_t first_offset, std::stop_token stop) {
  const milliseconds upload_time(layer.packed.size() / kSlowestBytesPerMs);
  Call call(kCallTimeout + upload_time, std::move(stop));
  v1::PublishLayerResponse response;
  const auto stream = layer_stub_->PublishLayer(call.context(), &response);

  v1::PublishLayerRequest request;
  v1::PublishLayerHeader* header = request.mutable_header();
  *header->mutable_lease() = ToProto(lease);
  header->set_layer(layer.layer);
  *header->mutable_digest() = ToProto(digest).digest();
  header->set_first_offset(first_offset);
  for (const LinearReport& linear : layer.linears) *header->add_linears() = ToProto(linear);
  bool is_open = stream->Write(request);

  const std::size_t chunk_bytes = static_cast<std::size_t>(chunk_bytes_.load());
  for (std::size_t offset = first_offset; is_open && offset < layer.packed.size(); offset += chunk_bytes) {
    const std::string_view piece = layer.packed.substr(offset, chunk_bytes);
    v1::ArtifactChunk* chunk = request.mutable_chunk();
    chunk->set_offset(offset);
    chunk->set_data(piece.data(), piece.size());
    chunk->set_crc32c(Crc32c(piece));
    is_open = stream->Write(request);
  }
  if (is_open) stream->WritesDone();
  return call.Result(stream->Finish());  // says why, if the coordinator closed the stream early
}

absl::Status GrpcCoordinatorLink::CheckpointTask(const Lease& lease, const TaskCheckpoint& checkpoint,
                                                 std::stop_token stop) {
  Call call(kCallTimeout, std::move(stop));
  v1::CheckpointTaskRequest request;
  *request.mutable_lease() = ToProto(lease);
  *request.mutable_checkpoint() = ToProto(checkpoint);
  v1::CheckpointTaskResponse response;
  return call.Result(stub_->CheckpointTask(call.context(), request, &response));
}

absl::Status GrpcCoordinatorLink::CompleteTask(const Lease& lease, const TaskResult& result, std::stop_token stop) {
  Call call(kCallTimeout, std::move(stop));
  v1::CompleteTaskRequest request;
  *request.mutable_lease() = ToProto(lease);
  *request.mutable_result() = ToProto(result);
  v1::CompleteTaskResponse response;
  return call.Result(stub_->CompleteTask(call.context(), request, &response));
}

absl::Status GrpcCoordinatorLink::FailTask(const Lease& lease, const FailureReport& failure, std::stop_token stop) {
  std::uint64_t lost_bytes = 0;  // the coordinator reads them before it answers
  for (const Digest& artifact : failure.lost_artifacts) lost_bytes += artifact.size_bytes();
  Call call(kCallTimeout + milliseconds(lost_bytes / kSlowestReadBytesPerMs), std::move(stop));
  v1::FailTaskRequest request;
  *request.mutable_lease() = ToProto(lease);
  request.set_failure_class(ToProto(failure.failure_class));
  request.set_message(Printable(failure.message));
  for (const Digest& artifact : failure.lost_artifacts) *request.add_lost_artifacts() = ToProto(artifact).digest();
  v1::FailTaskResponse response;
  return call.Result(stub_->FailTask(call.context(), request, &response));
}

absl::Status GrpcCoordinatorLink::ReleaseTask(const Lease& lease, std::stop_token stop) {
  Call call(kCallTimeout, std::move(stop));
  v1::ReleaseTaskRequest request;
  *request.mutable_lease() = ToProto(lease);
  v1::ReleaseTaskResponse response;
  return call.Result(stub_->ReleaseTask(call.context(), request, &response));
}

}  // namespace gptvq

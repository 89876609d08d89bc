#include "bench/load/load_worker.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_format.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "grpcpp/grpcpp.h"
#include "platform/clock.h"
#include "platform/object_store/artifact_store.h"
#include "platform/rpc/convert_task.h"
#include "platform/rpc/crc32c.h"
#include "platform/rpc/protocol_version.h"

namespace gptvq {
namespace {

constexpr std::uint64_t kChunkBytes = 1 << 20;

// Times one call from the caller's side.
class Stopwatch {
 public:
  std::chrono::nanoseconds elapsed() const { return clock_.MonotonicNow() - begin_; }

 private:
  SystemClock clock_;
  const MonotonicTime begin_ = clock_.MonotonicNow();
};

std::shared_ptr<grpc::Channel> OwnConnection(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // channels to one address would share a connection
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

const std::string& SmallLayer() {
  static const std::string& bytes = *new std::string(1024, 'l');
  return bytes;
}

}  // namespace

LoadWorker::LoadWorker(const std::string& address, int number, int row, WorkerTimes& times)
    : name_(absl::StrFormat("load-%d", number)),
      incarnation_(absl::StrFormat("%032x", number)),
      row_(row),
      times_(times),
      stub_(v1::WorkerService::NewStub(OwnConnection(address))) {}

void LoadWorker::Register() {
  v1::RegisterWorkerRequest request;
  request.set_worker_name(name_);
  request.set_incarnation(incarnation_);
  request.set_numerics_class("cpu-load/1");
  request.set_protocol_version(std::string(kProtocolVersion));
  request.add_slots()->set_name("cpu");
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  v1::RegisterWorkerResponse response;
  Ok(stub_->RegisterWorker(&context, request, &response));
}

std::optional<v1::TaskGrant> LoadWorker::Lease(std::chrono::milliseconds wait) {
  v1::LeaseTaskRequest request;
  request.set_worker_name(name_);
  request.set_incarnation(incarnation_);
  request.set_poll_id(absl::StrFormat("poll-%d-%d", row_, ++polls_));
  request.mutable_wait()->set_seconds(wait.count() / 1000);
  grpc::ClientContext context;
  v1::LeaseTaskResponse response;
  const Stopwatch watch;
  if (!Ok(stub_->LeaseTask(&context, request, &response))) return std::nullopt;
  (response.has_grant() ? times_.lease : times_.empty_poll).Add(watch.elapsed());
  return response.has_grant() ? std::optional(std::move(*response.mutable_grant())) : std::nullopt;
}

bool LoadWorker::Renew(const v1::TaskGrant& grant) {
  v1::RenewLeaseRequest request;
  *request.mutable_lease() = grant.lease();
  request.mutable_progress()->set_counter(++progress_);
  grpc::ClientContext context;
  v1::RenewLeaseResponse response;
  const Stopwatch watch;
  if (!Ok(stub_->RenewLease(&context, request, &response))) return false;
  times_.renew.Add(watch.elapsed());
  return true;
}

void LoadWorker::Finish(const v1::TaskGrant& grant) {
  TaskResult result;
  const Digest boundary = Digest::Of(AsBytes(BoundaryBytes()));
  switch (grant.kind()) {
    case v1::TASK_KIND_CAPTURE: result.outcome = CaptureResult{boundary}; break;
    case v1::TASK_KIND_QUANTIZE: {
      const std::string hex = Digest::Of(AsBytes(SmallLayer())).hex();
      for (int layer = grant.layers().begin() + grant.published_layers_size(); layer < grant.layers().end(); ++layer) {
        if (!Publish(grant, layer, hex, SmallLayer().size())) return;
      }
      result.outcome = QuantizeResult{grant.output_boundary_wanted() ? std::optional<Digest>(boundary) : std::nullopt};
      break;
    }
    case v1::TASK_KIND_FINALIZE: result.outcome = FinalizeResult{1, boundary}; break;
    default: result.outcome = EvaluateResult{10, 100}; break;
  }
  v1::CompleteTaskRequest request;
  *request.mutable_lease() = grant.lease();
  *request.mutable_result() = ToProto(result);
  grpc::ClientContext context;
  v1::CompleteTaskResponse response;
  const Stopwatch watch;
  if (Ok(stub_->CompleteTask(&context, request, &response))) times_.complete.Add(watch.elapsed());
}

void LoadWorker::Release(const v1::TaskGrant& grant) {
  v1::ReleaseTaskRequest request;
  *request.mutable_lease() = grant.lease();
  grpc::ClientContext context;
  v1::ReleaseTaskResponse response;
  Ok(stub_->ReleaseTask(&context, request, &response));
}

bool LoadWorker::Publish(const v1::TaskGrant& grant, int layer, const std::string& hex, std::uint64_t bytes) {
  const Stopwatch watch;
  grpc::ClientContext context;
  v1::PublishLayerResponse response;
  const auto writer = stub_->PublishLayer(&context, &response);
  v1::PublishLayerRequest message;
  v1::PublishLayerHeader& header = *message.mutable_header();
  *header.mutable_lease() = grant.lease();
  header.set_layer(layer);
  header.mutable_digest()->set_sha256_hex(hex);
  header.mutable_digest()->set_size_bytes(bytes);
  bool open = writer->Write(message);
  const std::string zeros = bytes > SmallLayer().size() ? std::string(kChunkBytes, '\0') : SmallLayer();
  const std::uint32_t crc = Crc32c(zeros);
  for (std::uint64_t offset = 0; open && offset < bytes; offset += zeros.size()) {
    v1::ArtifactChunk& chunk = *message.mutable_chunk();
    chunk.set_offset(offset);
    chunk.set_data(zeros);
    chunk.set_crc32c(crc);
    open = writer->Write(message);
  }
  writer->WritesDone();
  if (!Ok(writer->Finish())) return false;
  times_.publish.Add(watch.elapsed());
  return true;
}

std::string LoadWorker::BoundaryKey() { return ArtifactStore::KeyOf(Digest::Of(AsBytes(BoundaryBytes()))); }

std::string LoadWorker::BoundaryBytes() { return std::string(1024, 'b'); }

bool LoadWorker::Ok(const grpc::Status& status) {
  if (status.ok()) return true;
  if (failures_++ == 0) std::fprintf(stderr, "%s: a call failed: %s\n", name_.c_str(), status.error_message().c_str());
  return false;
}

}  // namespace gptvq

// Any bytes as what a worker says of uploads and checkpoints: QueryUpload, the header of PublishLayer, CheckpointTask. Refused, or
// understood so that saying it again means the same.

#include <cstdint>
#include <cstdlib>

#include "gptvq/v1/worker_service.pb.h"
#include "platform/rpc/convert_report.h"
#include "platform/rpc/convert_task.h"

namespace gptvq {
namespace {

// As GrpcWorkerService reads the two that name an upload.
template <typename Request>
v1::PublishedLayer LayerOf(const Request& request) {
  v1::PublishedLayer layer;
  layer.set_layer(request.layer());
  *layer.mutable_artifact()->mutable_digest() = request.digest();
  return layer;
}

// What was understood is said as it was understood.
template <typename Value>
void CheckRepeats(const Value& value) {
  const auto said = ToProto(value);
  if (ToProto(FromProto(said).value()).SerializeAsString() != said.SerializeAsString()) std::abort();
}

void CheckLease(const v1::Lease& proto) {
  const auto lease = FromProto(proto);
  if (!lease.ok()) return;
  if (lease->epoch <= 0 || lease->task_id.empty()) std::abort();
  CheckRepeats(*lease);
}

void CheckLayer(const v1::PublishedLayer& proto) {
  const auto layer = FromProto(proto);
  if (!layer.ok()) return;
  if (layer->layer < 0 || layer->artifact.hex() != proto.artifact().digest().sha256_hex()) std::abort();
  CheckRepeats(*layer);
}

void CheckCheckpoint(const v1::TaskCheckpoint& proto) {
  const auto checkpoint = FromProto(proto);
  if (!checkpoint.ok()) return;
  if (checkpoint->sequence <= 0 || checkpoint->linears.empty()) std::abort();
  CheckRepeats(*checkpoint);
}

}  // namespace
}  // namespace gptvq

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int bytes = static_cast<int>(size);
  if (gptvq::v1::QueryUploadRequest query; query.ParseFromArray(data, bytes)) {
    gptvq::CheckLease(query.lease());
    gptvq::CheckLayer(gptvq::LayerOf(query));
  }
  if (gptvq::v1::PublishLayerHeader header; header.ParseFromArray(data, bytes)) {
    gptvq::v1::PublishedLayer layer = gptvq::LayerOf(header);
    *layer.mutable_linears() = header.linears();
    gptvq::CheckLease(header.lease());
    gptvq::CheckLayer(layer);
  }
  if (gptvq::v1::CheckpointTaskRequest request; request.ParseFromArray(data, bytes)) {
    gptvq::CheckLease(request.lease());
    gptvq::CheckCheckpoint(request.checkpoint());
  }
  return 0;
}

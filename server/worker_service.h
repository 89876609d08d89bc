#ifndef GPTVQ_SERVER_WORKER_SERVICE_H_
#define GPTVQ_SERVER_WORKER_SERVICE_H_

#include <chrono>
#include <string>
#include <vector>

#include "gptvq/v1/worker_service.grpc.pb.h"
#include "platform/clock.h"
#include "platform/object_store/artifact_store.h"
#include "server/coordinator.h"
#include "server/layer_uploads.h"
#include "server/rpc_call.h"
#include "server/seal.h"
#include "server/silence_watch.h"

namespace gptvq {

struct WorkerServiceOptions {
  std::string artifact_store_uri;  // what workers are told
  int max_uploads = 8;
  std::chrono::milliseconds upload_patience{2'000};  // an upload too many waits so long for a place
  std::chrono::milliseconds upload_silence{60'000};  // an upload that sends nothing for so long is ended
  LayerUploadsOptions parked_uploads = {};
};

// gptvq.v1.WorkerService: translates between the wire and the coordinator, checks lease tokens, receives layers, and decides
// nothing. Borrows everything given to the constructor. Thread-safe.
class GrpcWorkerService final : public v1::WorkerService::Service {
 public:
  GrpcWorkerService(Coordinator& coordinator, ArtifactStore& store, const Seal& seal, CoordinatorMetrics& metrics,
                    const CallGuard& guard, Clock& clock, WorkerServiceOptions options);

  grpc::Status RegisterWorker(grpc::ServerContext*, const v1::RegisterWorkerRequest*,
                              v1::RegisterWorkerResponse*) override;
  grpc::Status LeaseTask(grpc::ServerContext*, const v1::LeaseTaskRequest*, v1::LeaseTaskResponse*) override;
  grpc::Status RenewLease(grpc::ServerContext*, const v1::RenewLeaseRequest*, v1::RenewLeaseResponse*) override;
  grpc::Status PublishLayer(grpc::ServerContext*, grpc::ServerReader<v1::PublishLayerRequest>*,
                            v1::PublishLayerResponse*) override;
  grpc::Status QueryUpload(grpc::ServerContext*, const v1::QueryUploadRequest*, v1::QueryUploadResponse*) override;
  grpc::Status CheckpointTask(grpc::ServerContext*, const v1::CheckpointTaskRequest*,
                              v1::CheckpointTaskResponse*) override;
  grpc::Status CompleteTask(grpc::ServerContext*, const v1::CompleteTaskRequest*, v1::CompleteTaskResponse*) override;
  grpc::Status FailTask(grpc::ServerContext*, const v1::FailTaskRequest*, v1::FailTaskResponse*) override;
  grpc::Status ReleaseTask(grpc::ServerContext*, const v1::ReleaseTaskRequest*, v1::ReleaseTaskResponse*) override;

 private:
  absl::Status Register(const Call& call, const v1::RegisterWorkerRequest& request,
                        v1::RegisterWorkerResponse& response);
  absl::Status Poll(Call& call, const grpc::ServerContext& context, const v1::LeaseTaskRequest& request,
                    v1::LeaseTaskResponse& response);
  absl::Status Renew(Call& call, const v1::RenewLeaseRequest& request, v1::RenewLeaseResponse& response);
  // A stream of messages, and what ends it early.
  struct UploadStream {
    grpc::ServerContext& context;
    grpc::ServerReader<v1::PublishLayerRequest>& reader;
    SilenceWatch& silence;
  };
  absl::Status Publish(Call& call, UploadStream stream, v1::PublishLayerResponse& response);
  // The count of deletions just before the artifact became visible. What a call that ended early has received is parked.
  absl::StatusOr<DeletionCount> Receive(const Lease& lease, LayerUploads::Call& upload, std::uint64_t first_offset,
                                        UploadStream stream);
  absl::Status ReceiveChunks(const Lease& lease, UploadStream stream, LayerReceiver& receiver);
  absl::Status Query(Call& call, const v1::QueryUploadRequest& request, v1::QueryUploadResponse& response);
  absl::Status Checkpoint(Call& call, const v1::CheckpointTaskRequest& request, v1::CheckpointTaskResponse& response);
  absl::Status Complete(Call& call, const v1::CompleteTaskRequest& request, v1::CompleteTaskResponse& response);
  // The lease of a request whose token is genuine and whose worker is the caller; tells `call` the job.
  absl::Status Fail(Call& call, const v1::FailTaskRequest& request);
  // What the request names and the store truly lost.
  absl::StatusOr<std::vector<Digest>> FindLost(const v1::FailTaskRequest& request, const Lease& lease);
  absl::StatusOr<Lease> GenuineLease(const v1::Lease& proto, Call& call) const;

  Coordinator& coordinator_;
  ArtifactStore& store_;
  const Seal& seal_;
  CoordinatorMetrics& metrics_;
  const ServiceDesk desk_;
  Clock& clock_;
  const WorkerServiceOptions options_;
  ConcurrencyLimit upload_slots_;
  LayerUploads uploads_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_WORKER_SERVICE_H_

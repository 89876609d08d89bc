#ifndef GPTVQ_WORKER_GRPC_COORDINATOR_LINK_H_
#define GPTVQ_WORKER_GRPC_COORDINATOR_LINK_H_

#include <atomic>
#include <memory>

#include "gptvq/v1/worker_service.grpc.pb.h"
#include "grpcpp/channel.h"
#include "worker/coordinator_link.h"

namespace gptvq {

// The only gRPC client of the worker. One call per method, each with a deadline: 10 s, more for a poll that waits,
// and for a layer as much as its bytes need at 1 MiB/s. Owns its stub, shares the channel. Thread-safe.
class GrpcCoordinatorLink final : public CoordinatorLink {
 public:
  // The channel comes from MakeChannel() or, inside one process, from the server itself.
  GrpcCoordinatorLink(std::shared_ptr<grpc::Channel> channel, WorkerIdentity identity);

  absl::StatusOr<Registration> Register(std::stop_token stop) override;
  absl::StatusOr<PollAnswer> PollTask(std::string_view poll_id, std::chrono::milliseconds wait,
                                      std::stop_token stop) override;
  absl::StatusOr<RenewalAnswer> RenewLease(const Lease& lease, const TaskProgress& progress,
                                           std::stop_token stop) override;
  absl::Status PublishLayer(const Lease& lease, const LayerPublication& layer, std::stop_token stop) override;
  absl::Status CompleteTask(const Lease& lease, const TaskResult& result, std::stop_token stop) override;
  absl::Status FailTask(const Lease& lease, FailureClass failure_class, std::string_view message,
                        std::stop_token stop) override;
  absl::Status ReleaseTask(const Lease& lease, std::stop_token stop) override;

 private:
  const WorkerIdentity identity_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  std::atomic<int> chunk_bytes_;  // as the coordinator wants it, after Register
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_GRPC_COORDINATOR_LINK_H_

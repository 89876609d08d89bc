#ifndef GPTVQ_WORKER_GRPC_COORDINATOR_LINK_H_
#define GPTVQ_WORKER_GRPC_COORDINATOR_LINK_H_

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "core/base/sha256.h"
#include "gptvq/v1/worker_service.grpc.pb.h"
#include "grpcpp/channel.h"
#include "platform/job/device_health.h"
#include "worker/coordinator_link.h"

namespace gptvq {

// What a worker talks over. Layers have a connection of their own: on a slow link a renewal would wait behind megabytes of
// them until its lease is lost.
struct CoordinatorChannels {
  std::shared_ptr<grpc::Channel> control;
  std::shared_ptr<grpc::Channel> layers = nullptr;  // null: as `control`, for a coordinator in the same process
};

// The only gRPC client of the worker. One call per method, each with a deadline: 10 s, more for a poll that waits,
// and for a layer as much as its bytes need at 1 MiB/s. A layer of several chunks goes on where an earlier call ended: the coordinator
// is asked first. Owns its stubs, shares the channels. Thread-safe.
class GrpcCoordinatorLink final : public CoordinatorLink {
 public:
  // The channels come from MakeChannel() or, inside one process, from the server itself.
  // `read_health` is asked before each registration, poll and renewal, and must not wait; empty: no health is reported.
  using HealthReader = std::function<std::vector<DeviceHealth>()>;
  GrpcCoordinatorLink(const CoordinatorChannels& channels, WorkerIdentity identity, HealthReader read_health = nullptr);

  absl::StatusOr<Registration> Register(std::stop_token stop) override;
  absl::StatusOr<PollAnswer> PollTask(const TaskPoll& poll, std::stop_token stop) override;
  absl::StatusOr<RenewalAnswer> RenewLease(const Lease& lease, const TaskProgress& progress,
                                           std::stop_token stop) override;
  absl::Status PublishLayer(const Lease& lease, const LayerPublication& layer, std::stop_token stop) override;
  absl::Status CheckpointTask(const Lease& lease, const TaskCheckpoint& checkpoint, std::stop_token stop) override;
  absl::Status CompleteTask(const Lease& lease, const TaskResult& result, std::stop_token stop) override;
  absl::Status FailTask(const Lease& lease, const FailureReport& failure, std::stop_token stop) override;
  absl::Status ReleaseTask(const Lease& lease, std::stop_token stop) override;

 private:
  // Requests that carry the health of the slots.
  template <typename Request>
  void AddDevices(Request& request) const;
  // How much of a layer an earlier call left; 0 for a coordinator that does not know.
  absl::StatusOr<std::uint64_t> ReceivedBytes(const Lease& lease, int layer, const Digest& digest,
                                              std::stop_token stop);
  absl::Status SendLayer(const Lease& lease, const LayerPublication& layer, const Digest& digest,
                         std::uint64_t first_offset, std::stop_token stop);

  const WorkerIdentity identity_;
  const HealthReader read_health_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  const std::unique_ptr<v1::WorkerService::Stub> layer_stub_;
  std::atomic<int> chunk_bytes_;  // as the coordinator wants it, after Register
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_GRPC_COORDINATOR_LINK_H_

#ifndef GPTVQ_WORKER_COORDINATOR_LINK_H_
#define GPTVQ_WORKER_COORDINATOR_LINK_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/spec/linear_report.h"
#include "platform/job/device_slot.h"
#include "platform/job/lease.h"
#include "platform/job/task.h"
#include "platform/job/task_result.h"

namespace gptvq {

// Who calls.
struct WorkerIdentity {
  std::string name;
  std::string incarnation;  // 32 hexadecimal digits, drawn when the process starts
  std::string numerics_class;
  std::vector<DeviceSlot> slots;
};

// What the coordinator answers to a registration.
struct Registration {
  std::string artifact_store_uri;
  std::chrono::milliseconds heartbeat_period{0};
  std::chrono::milliseconds lease_ttl{0};
};

// A question for work; borrows.
struct TaskPoll {
  std::string_view poll_id;
  std::string_view slot = {};  // of the identity, that the task is for; empty: none in particular
  std::chrono::milliseconds wait{0};
};

struct PollAnswer {
  std::optional<TaskGrant> grant;
  std::chrono::milliseconds retry_after{0};  // without a grant
};

// Why the work of a task failed.
struct FailureReport {
  FailureClass failure_class = FailureClass::kTransient;
  std::string message;
  std::vector<Digest> lost_artifacts = {};  // named by the grant, and gone or damaged
};

enum class RenewalAnswer { kContinue, kCancelRequested };

// A layer as it is published; borrows.
struct LayerPublication {
  int layer = 0;
  std::string_view packed;
  const std::vector<LinearReport>& linears;
};

// The coordinator as a worker sees it: the methods of gptvq.v1.WorkerService as functions of plain values. The
// contract of each, its codes and reasons (platform/job/error_reason.h) stand in worker_service.proto.
// GrpcCoordinatorLink makes one call per method; RetryingLink repeats those that may be repeated; tests script it.
// Thread-safe. Every method returns soon after its `stop` is requested, then with Cancelled without a reason.
class CoordinatorLink {
 public:
  virtual ~CoordinatorLink() = default;

  virtual absl::StatusOr<Registration> Register(std::stop_token stop) = 0;
  virtual absl::StatusOr<PollAnswer> PollTask(const TaskPoll& poll, std::stop_token stop) = 0;
  virtual absl::StatusOr<RenewalAnswer> RenewLease(const Lease& lease, const TaskProgress& progress,
                                                   std::stop_token stop) = 0;
  virtual absl::Status PublishLayer(const Lease& lease, const LayerPublication& layer, std::stop_token stop) = 0;
  virtual absl::Status CheckpointTask(const Lease& lease, const TaskCheckpoint& checkpoint, std::stop_token stop) = 0;
  virtual absl::Status CompleteTask(const Lease& lease, const TaskResult& result, std::stop_token stop) = 0;
  virtual absl::Status FailTask(const Lease& lease, const FailureReport& failure, std::stop_token stop) = 0;
  virtual absl::Status ReleaseTask(const Lease& lease, std::stop_token stop) = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_COORDINATOR_LINK_H_

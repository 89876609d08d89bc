#ifndef GPTVQ_SERVER_SCHEDULER_EVENTS_H_
#define GPTVQ_SERVER_SCHEDULER_EVENTS_H_

#include <string>
#include <variant>
#include <vector>

#include "platform/job/device_health.h"
#include "platform/job/device_slot.h"
#include "platform/job/job.h"
#include "platform/job/lease.h"

namespace gptvq {

// What happens to the scheduler. Plain values; every text and number in them was checked at the edge.

struct SubmitJob {
  JobDescription job;  // `sequence` and `create_time` are filled by the scheduler
  std::vector<TaskDescription> tasks;
};

struct CancelJob {
  std::string job_id;
};

// Who a worker process is. Two processes with one name are two workers.
struct WorkerKey {
  std::string name;
  std::string incarnation;

  friend auto operator<=>(const WorkerKey&, const WorkerKey&) = default;
};

struct RegisterWorker {
  WorkerKey worker;
  std::string numerics_class;
  std::string version;
  std::vector<DeviceSlot> slots;
  std::vector<DeviceHealth> devices = {};
};

struct PollTask {
  WorkerKey worker;
  std::string poll_id;
  std::string slot = {};                   // that the task is for; empty: none in particular
  std::vector<DeviceHealth> devices = {};  // empty: as before
};

struct RenewLease {
  Lease lease;
  TaskProgress progress;
  std::vector<DeviceHealth> devices = {};  // empty: as before
};

struct PublishLayer {
  Lease lease;
  PublishedLayer layer;
};

struct CheckpointTask {
  Lease lease;
  TaskCheckpoint checkpoint;
};

struct CompleteTask {
  Lease lease;
  TaskResult result;
};

struct FailTask {
  Lease lease;
  TaskFailure failure;
  // Artifacts that the holder names as the cause, and that whoever brings the event did not find in the store either.
  std::vector<Digest> lost = {};
};

struct ReleaseTask {
  Lease lease;
};

// An operator says that a worker is in order again.
struct ReleaseWorker {
  std::string name;
};

// Time passed. Deals with one overdue lease, or one of a worker in quarantine, or one suspect; to be repeated until its
// outcome is kNothing.
struct Tick {};

// The coordinator itself stood still for a while, so that nobody could be heard: every held lease lasts a whole ttl from now, and
// counts as making progress now.
struct ForgiveSilence {};

using Event = std::variant<SubmitJob, CancelJob, RegisterWorker, PollTask, RenewLease, PublishLayer, CheckpointTask,
                           CompleteTask, FailTask, ReleaseTask, ReleaseWorker, Tick, ForgiveSilence>;

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SCHEDULER_EVENTS_H_

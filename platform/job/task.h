#ifndef GPTVQ_PLATFORM_JOB_TASK_H_
#define GPTVQ_PLATFORM_JOB_TASK_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/pipeline/layer_range.h"
#include "core/spec/linear_report.h"
#include "platform/job/task_audit.h"
#include "platform/job/task_result.h"

namespace gptvq {

// The nouns of scheduling, as C++ values; the enums mirror gptvq.v1, where their values are described.

enum class TaskKind { kCapture, kQuantize, kFinalize, kEvaluate, kAudit };
inline constexpr std::array kAllTaskKinds = {TaskKind::kCapture, TaskKind::kQuantize, TaskKind::kFinalize,
                                             TaskKind::kEvaluate, TaskKind::kAudit};

enum class TaskState { kBlocked, kReady, kLeased, kCancelling, kCommitted, kFailed, kCancelled };
inline constexpr std::array kAllTaskStates = {TaskState::kBlocked,    TaskState::kReady,     TaskState::kLeased,
                                              TaskState::kCancelling, TaskState::kCommitted, TaskState::kFailed,
                                              TaskState::kCancelled};

// What moves a task from state to state (server/scheduler/task_transitions.h has the table).
enum class TaskTrigger {
  kUnblock,     // the last task it depends on was committed
  kGrant,       // leased to a worker that polled
  kRenew,       // heartbeat of the holder
  kPublish,     // the holder published a layer
  kCheckpoint,  // the holder kept what it has finished of the next layer
  kCommit,      // the holder completed the task
  kRetry,       // the holder reported a failure that may not happen again
  kFail,        // the holder reported a failure that would happen again
  kPoison,      // it failed or was lost too often
  kRelease,     // the holder gave it back
  kExpire,      // the holder was silent for too long
  kStall,       // the holder renewed but made no progress for too long
  kRevoke,      // the holder is in quarantine
  kRepair,      // the store lost what it had made
  kAwait,       // the store lost what it reads, which is being made again
  kDispute,     // an audit came to other bytes; another worker is asked
  kOverturn,    // what it made is wrong, or may be, or was made from something else than there is now
  kSettle,      // an audit ends without a run of its own: skipped, given up, or decided by what was made again
  kCancel,      // the job was cancelled, or is failing
};
inline constexpr std::array kAllTaskTriggers = {
    TaskTrigger::kUnblock,    TaskTrigger::kGrant,   TaskTrigger::kRenew,  TaskTrigger::kPublish,
    TaskTrigger::kCheckpoint, TaskTrigger::kCommit,  TaskTrigger::kRetry,  TaskTrigger::kFail,
    TaskTrigger::kPoison,     TaskTrigger::kRelease, TaskTrigger::kExpire, TaskTrigger::kStall,
    TaskTrigger::kRevoke,     TaskTrigger::kRepair,  TaskTrigger::kAwait,  TaskTrigger::kDispute,
    TaskTrigger::kOverturn,   TaskTrigger::kSettle,  TaskTrigger::kCancel};

enum class FailureClass { kInfra, kTransient, kDevice, kInput, kFatal, kBug };
inline constexpr std::array kAllFailureClasses = {FailureClass::kInfra, FailureClass::kTransient, FailureClass::kDevice,
                                                  FailureClass::kInput, FailureClass::kFatal,     FailureClass::kBug};

enum class EvaluationTarget { kSource, kQuantized };

std::string_view Name(TaskKind kind);        // capture, quantize, ...
std::string_view Name(TaskState state);      // blocked, ready, ...
std::string_view Name(TaskTrigger trigger);  // unblock, grant, ...
std::string_view Name(FailureClass failure_class);
std::string_view Name(EvaluationTarget target);
std::optional<TaskTrigger> ParseTaskTrigger(std::string_view text);

// True for states in which nothing is left to do. Only a COMMITTED task whose work was lost leaves its state again.
bool IsTerminal(TaskState state);
// True while a worker holds the task: LEASED and CANCELLING.
bool IsHeld(TaskState state);

struct TaskFailure {
  FailureClass failure_class = FailureClass::kTransient;
  std::string message;
  std::string worker_name;

  friend bool operator==(const TaskFailure&, const TaskFailure&) = default;
};
inline constexpr std::size_t kMaxFailureMessageBytes = 4096;

struct TaskProgress {
  std::uint64_t counter = 0;  // rises when work was done, within one attempt
  double fraction = 0;        // of the task, 0 to 1
  int layer = 0;
  std::string step;  // for people

  friend bool operator==(const TaskProgress&, const TaskProgress&) = default;
};

// What never changes of a task. `index` is its place in the plan of its job; tasks depend only on earlier ones.
struct TaskDescription {
  std::string task_id;  // <job_id>/<kind>-<number>
  int index = 0;
  TaskKind kind = TaskKind::kQuantize;
  LayerRange layers;
  std::vector<int> dependencies;         // indices
  std::optional<int> input_boundary_of;  // index of the task whose output boundary this one reads
  bool output_boundary_wanted = false;
  std::optional<EvaluationTarget> target;  // kEvaluate only

  friend bool operator==(const TaskDescription&, const TaskDescription&) = default;
};

// How often a task did not succeed since it last made durable progress: was granted first, published a layer, or kept more of
// one than before.
struct FailureCounts {
  int uncounted = 0;  // INFRA and DEVICE: not the task's fault, bounded all the same
  int transient = 0;  // TRANSIENT and stalls
  int bug = 0;
  int lost = 0;  // leases that expired

  int total() const { return uncounted + transient + bug + lost; }
  friend bool operator==(const FailureCounts&, const FailureCounts&) = default;
};

// A worker that a task did not succeed on, and how it ended there: why the task is kept from that worker, and the evidence
// when one of the two has to be at fault.
struct FailedAttempt {
  std::string worker_name;
  FailureClass failure_class = FailureClass::kTransient;
  bool lost = false;      // the lease expired
  bool refuted = false;   // the task got further on another worker since
  bool outlived = false;  // a checkpoint held more of the task since: it is none of those in a row

  friend bool operator==(const FailedAttempt&, const FailedAttempt&) = default;
};
inline constexpr std::size_t kMaxFailedAttempts = 16;

// What the store lost of what a task made, and how often that happened to what it reads.
struct RepairStatus {
  std::vector<int> lost_layers;  // published by the task, and to be computed again; ascending
  int missing_inputs = 0;        // attempts that ended so, since it last made durable progress

  friend bool operator==(const RepairStatus&, const RepairStatus&) = default;
};

// The linears that are finished of the layer that a quantize task works on: the twin of gptvq.v1.TaskCheckpoint, where the
// fields are described.
struct TaskCheckpoint {
  int layer = 0;
  std::int64_t sequence = 0;
  Digest artifact;
  std::vector<LinearReport> linears;

  friend bool operator==(const TaskCheckpoint&, const TaskCheckpoint&) = default;
};

// What changes of a task; one row of the journal. `revision` counts the changes: a store refuses to write revision n + 1
// over anything but n.
struct TaskStatus {
  std::int64_t revision = 0;
  TaskState state = TaskState::kBlocked;
  std::int64_t epoch = 0;  // rises with every grant, never falls; see NextEpoch
  int attempt = 0;
  std::string worker_name;  // holder of the latest grant
  std::string incarnation;
  std::string poll_id;
  FailureCounts failures;
  std::vector<FailedAttempt> failed_attempts;  // the latest of each worker and kind, latest last
  std::optional<TaskFailure> last_failure;
  std::optional<TaskResult> result;  // of the latest commit; kept while it is run again, to be compared
  RepairStatus repair;
  std::optional<TaskCheckpoint> checkpoint;  // of the first layer that has to be computed
  // That a checkpoint of the first layer which was never published held; only more is progress: what is lost is made again.
  int most_linears = 0;
  AuditStatus audit;

  friend bool operator==(const TaskStatus&, const TaskStatus&) = default;
};

// The task that an audit does a second time; nullopt for other tasks. It is the latest that an audit depends on.
std::optional<int> AuditedBy(const TaskDescription& task);

// The job of a task.
std::string_view JobIdOf(std::string_view task_id);

// An epoch is the store's generation in its high 32 bits and a count of grants in the low ones: a store that went back in time
// begins a new generation, and never grants again what it has forgotten.
constexpr std::int64_t GenerationOf(std::int64_t epoch) { return epoch >> 32; }
constexpr std::int64_t NextEpoch(std::int64_t epoch, std::int64_t generation) {
  return std::max(epoch, generation << 32) + 1;
}

struct Task {
  TaskDescription description;
  TaskStatus status;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_TASK_H_

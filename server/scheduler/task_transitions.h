#ifndef GPTVQ_SERVER_SCHEDULER_TASK_TRANSITIONS_H_
#define GPTVQ_SERVER_SCHEDULER_TASK_TRANSITIONS_H_

#include <array>
#include <optional>

#include "platform/job/task.h"

namespace gptvq {

// The life of a task, as one table; docs/protocol.md prints it and a test compares the two. What is not in the table does
// not happen: the call that would cause it is refused.
struct TaskTransition {
  TaskState from;
  TaskTrigger trigger;
  TaskState to;
};

inline constexpr std::array kTaskTransitions = {
    TaskTransition{TaskState::kBlocked, TaskTrigger::kUnblock, TaskState::kReady},
    TaskTransition{TaskState::kBlocked, TaskTrigger::kOverturn, TaskState::kBlocked},
    TaskTransition{TaskState::kBlocked, TaskTrigger::kSettle, TaskState::kCommitted},
    TaskTransition{TaskState::kBlocked, TaskTrigger::kFail, TaskState::kFailed},
    TaskTransition{TaskState::kBlocked, TaskTrigger::kCancel, TaskState::kCancelled},
    TaskTransition{TaskState::kReady, TaskTrigger::kGrant, TaskState::kLeased},
    TaskTransition{TaskState::kReady, TaskTrigger::kAwait, TaskState::kBlocked},
    TaskTransition{TaskState::kReady, TaskTrigger::kOverturn, TaskState::kBlocked},
    TaskTransition{TaskState::kReady, TaskTrigger::kSettle, TaskState::kCommitted},
    TaskTransition{TaskState::kReady, TaskTrigger::kFail, TaskState::kFailed},
    TaskTransition{TaskState::kReady, TaskTrigger::kCancel, TaskState::kCancelled},
    TaskTransition{TaskState::kLeased, TaskTrigger::kRenew, TaskState::kLeased},
    TaskTransition{TaskState::kLeased, TaskTrigger::kPublish, TaskState::kLeased},
    TaskTransition{TaskState::kLeased, TaskTrigger::kCheckpoint, TaskState::kLeased},
    TaskTransition{TaskState::kLeased, TaskTrigger::kCommit, TaskState::kCommitted},
    TaskTransition{TaskState::kLeased, TaskTrigger::kRetry, TaskState::kReady},
    TaskTransition{TaskState::kLeased, TaskTrigger::kFail, TaskState::kFailed},
    TaskTransition{TaskState::kLeased, TaskTrigger::kPoison, TaskState::kFailed},
    TaskTransition{TaskState::kLeased, TaskTrigger::kRelease, TaskState::kReady},
    TaskTransition{TaskState::kLeased, TaskTrigger::kExpire, TaskState::kReady},
    TaskTransition{TaskState::kLeased, TaskTrigger::kStall, TaskState::kReady},
    TaskTransition{TaskState::kLeased, TaskTrigger::kRevoke, TaskState::kReady},
    TaskTransition{TaskState::kLeased, TaskTrigger::kAwait, TaskState::kBlocked},
    TaskTransition{TaskState::kLeased, TaskTrigger::kDispute, TaskState::kReady},
    TaskTransition{TaskState::kLeased, TaskTrigger::kOverturn, TaskState::kBlocked},
    TaskTransition{TaskState::kLeased, TaskTrigger::kSettle, TaskState::kCommitted},
    TaskTransition{TaskState::kLeased, TaskTrigger::kCancel, TaskState::kCancelling},
    TaskTransition{TaskState::kCancelling, TaskTrigger::kRenew, TaskState::kCancelling},
    TaskTransition{TaskState::kCancelling, TaskTrigger::kRetry, TaskState::kCancelled},
    TaskTransition{TaskState::kCancelling, TaskTrigger::kFail, TaskState::kCancelled},
    TaskTransition{TaskState::kCancelling, TaskTrigger::kRelease, TaskState::kCancelled},
    TaskTransition{TaskState::kCancelling, TaskTrigger::kExpire, TaskState::kCancelled},
    TaskTransition{TaskState::kCancelling, TaskTrigger::kRevoke, TaskState::kCancelled},
    TaskTransition{TaskState::kCommitted, TaskTrigger::kRepair, TaskState::kBlocked},
    TaskTransition{TaskState::kCommitted, TaskTrigger::kOverturn, TaskState::kBlocked},
};

// Where the table leads; nullopt where it says nothing.
constexpr std::optional<TaskState> NextTaskState(TaskState from, TaskTrigger trigger) {
  for (const TaskTransition& transition : kTaskTransitions) {
    if (transition.from == from && transition.trigger == trigger) return transition.to;
  }
  return std::nullopt;
}

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SCHEDULER_TASK_TRANSITIONS_H_

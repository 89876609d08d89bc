#include "server/scheduler/task_transitions.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace gptvq {
namespace {

TEST(TaskTransitions, NoStateAndTriggerLeadTwoWays) {
  std::set<std::pair<TaskState, TaskTrigger>> seen;
  for (const TaskTransition& transition : kTaskTransitions) {
    EXPECT_TRUE(seen.insert({transition.from, transition.trigger}).second)
        << Name(transition.from) << " " << Name(transition.trigger);
  }
}

TEST(TaskTransitions, TerminalStatesAreLeftOnlyToMakeAgainWhatWasCommitted) {
  for (TaskState state : kAllTaskStates) {
    for (TaskTrigger trigger : kAllTaskTriggers) {
      if (!IsTerminal(state)) continue;
      const bool is_repair =
          state == TaskState::kCommitted && (trigger == TaskTrigger::kRepair || trigger == TaskTrigger::kOverturn);
      EXPECT_EQ(NextTaskState(state, trigger), is_repair ? std::optional(TaskState::kBlocked) : std::nullopt);
    }
  }
}

TEST(TaskTransitions, EveryOpenStateCanBeCancelledAndEndsCancelled) {
  for (TaskState state : kAllTaskStates) {
    if (IsTerminal(state) || state == TaskState::kCancelling) continue;
    const auto next = NextTaskState(state, TaskTrigger::kCancel);
    EXPECT_EQ(next, IsHeld(state) ? TaskState::kCancelling : TaskState::kCancelled);
  }
  for (TaskTrigger trigger : {TaskTrigger::kRelease, TaskTrigger::kRetry, TaskTrigger::kFail, TaskTrigger::kExpire}) {
    EXPECT_EQ(NextTaskState(TaskState::kCancelling, trigger), TaskState::kCancelled);
  }
}

TEST(TaskTransitions, NothingCommitsButAHeldTaskThatIsNotCancelled) {
  for (TaskState state : kAllTaskStates) {
    const bool may_commit = state == TaskState::kLeased;
    EXPECT_EQ(NextTaskState(state, TaskTrigger::kCommit).has_value(), may_commit);
    EXPECT_EQ(NextTaskState(state, TaskTrigger::kPublish).has_value(), may_commit);
  }
}

TEST(TaskTransitions, OnlyAGrantLeadsToLeased) {
  for (const TaskTransition& transition : kTaskTransitions) {
    if (transition.to != TaskState::kLeased || transition.from == TaskState::kLeased) continue;
    EXPECT_EQ(transition.trigger, TaskTrigger::kGrant);
  }
}

// docs/protocol.md, "Task states": the table there is this one.
TEST(TaskTransitions, AreThoseOfTheProtocolPage) {
  std::ostringstream expected;
  expected << "| from | trigger | to |\n|---|---|---|\n";
  for (const TaskTransition& transition : kTaskTransitions) {
    expected << "| " << Name(transition.from) << " | " << Name(transition.trigger) << " | " << Name(transition.to)
             << " |\n";
  }
  std::ifstream file(std::string(GPTVQ_SOURCE_DIR) + "/docs/protocol.md");
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());

  EXPECT_NE(page.find(expected.str()), std::string::npos) << "docs/protocol.md should hold\n" << expected.str();
}

}  // namespace
}  // namespace gptvq

#ifndef GPTVQ_PLATFORM_JOB_TASK_RESULT_H_
#define GPTVQ_PLATFORM_JOB_TASK_RESULT_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/sha256.h"

namespace gptvq {

// Where the wall time of a task went; mirrors gptvq.v1.TaskPhase.
enum class TaskPhase { kLoad, kForward, kHessian, kQuantize, kPublish, kFinalize, kEvaluate };
inline constexpr std::array kAllTaskPhases = {TaskPhase::kLoad,     TaskPhase::kForward, TaskPhase::kHessian,
                                              TaskPhase::kQuantize, TaskPhase::kPublish, TaskPhase::kFinalize,
                                              TaskPhase::kEvaluate};

std::string_view Name(TaskPhase phase);  // load, forward, ...

struct TaskPhaseSeconds {
  TaskPhase phase = TaskPhase::kLoad;
  double seconds = 0;

  friend bool operator==(const TaskPhaseSeconds&, const TaskPhaseSeconds&) = default;
};

// What a task produced, by kind.
struct CaptureResult {
  Digest output_boundary;

  friend bool operator==(const CaptureResult&, const CaptureResult&) = default;
};

struct QuantizeResult {
  std::optional<Digest> output_boundary;  // present exactly when it was wanted

  friend bool operator==(const QuantizeResult&, const QuantizeResult&) = default;
};

struct FinalizeResult {
  std::uint64_t output_bytes = 0;
  Digest manifest;

  friend bool operator==(const FinalizeResult&, const FinalizeResult&) = default;
};

struct EvaluateResult {
  double perplexity = 0;
  std::int64_t token_count = 0;

  friend bool operator==(const EvaluateResult&, const EvaluateResult&) = default;
};

struct TaskResult {
  std::vector<TaskPhaseSeconds> seconds;  // at most one entry per phase
  std::variant<CaptureResult, QuantizeResult, FinalizeResult, EvaluateResult> outcome;

  friend bool operator==(const TaskResult&, const TaskResult&) = default;
};

// The boundary that a result names, if it names one.
std::optional<Digest> OutputBoundary(const TaskResult& result);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_TASK_RESULT_H_

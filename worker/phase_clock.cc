#include "worker/phase_clock.h"

#include <utility>

namespace gptvq {

TaskPhase PhaseClock::Enter(TaskPhase phase) {
  const MonotonicTime now = clock_.MonotonicNow();
  const double seconds = std::chrono::duration<double>(now - entered_at_).count();
  seconds_[static_cast<std::size_t>(phase_)] += seconds;
  spent_({phase_, seconds});
  entered_at_ = now;
  return std::exchange(phase_, phase);
}

std::vector<TaskPhaseSeconds> PhaseClock::Seconds() {
  Enter(phase_);
  std::vector<TaskPhaseSeconds> list;
  for (const TaskPhase phase : kAllTaskPhases) {
    const double seconds = seconds_[static_cast<std::size_t>(phase)];
    if (seconds > 0) list.push_back({phase, seconds});
  }
  return list;
}

TaskPhase PhaseOfStep(std::string_view step) {
  if (step == "load") return TaskPhase::kLoad;
  if (step == "publish") return TaskPhase::kPublish;
  if (step == "capture" || step == "replay") return TaskPhase::kForward;
  if (step == "calibrate") return TaskPhase::kHessian;
  if (step == "evaluate") return TaskPhase::kEvaluate;
  return TaskPhase::kQuantize;
}

}  // namespace gptvq

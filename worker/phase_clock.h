#ifndef GPTVQ_WORKER_PHASE_CLOCK_H_
#define GPTVQ_WORKER_PHASE_CLOCK_H_

#include <array>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "platform/clock.h"
#include "platform/job/task_result.h"

namespace gptvq {

// Where the time of one task goes: every moment belongs to the phase that was entered last. Thread-compatible.
class PhaseClock {
 public:
  // Starts in kLoad. `spent` hears of time as soon as it is booked; what it hears sums up to Seconds().
  PhaseClock(const Clock& clock, std::function<void(const TaskPhaseSeconds&)> spent)
      : clock_(clock), spent_(std::move(spent)), entered_at_(clock.MonotonicNow()) {}

  // Returns the phase that was left.
  TaskPhase Enter(TaskPhase phase);

  // Phases that took time, in the order of kAllTaskPhases, up to now.
  std::vector<TaskPhaseSeconds> Seconds();

 private:
  const Clock& clock_;
  const std::function<void(const TaskPhaseSeconds&)> spent_;
  TaskPhase phase_ = TaskPhase::kLoad;
  MonotonicTime entered_at_;
  std::array<double, kAllTaskPhases.size()> seconds_{};
};

// The phase of a step of core/pipeline/observer.h; names of linears are kQuantize.
TaskPhase PhaseOfStep(std::string_view step);

}  // namespace gptvq

#endif  // GPTVQ_WORKER_PHASE_CLOCK_H_

#include "tests/sim/sim_world.h"

#include <utility>

namespace gptvq {

SimWorld::SimWorld(std::uint64_t seed)
    : random_(seed, Philox::StreamOf("sim")),
      start_{MonotonicTime(std::chrono::hours(1)), WallTime(std::chrono::hours(500'000))},
      now_(start_) {
  const auto swarm = [this](double most) { return Chance(0.5) ? most * Uniform() : 0.0; };
  faults_.drop = swarm(0.3);
  faults_.duplicate = swarm(0.3);
  faults_.delay = swarm(0.2);
  faults_.append_refused = swarm(0.1);
  faults_.append_ghost = swarm(0.1);
  faults_.coordinator_crash = swarm(0.03);
  faults_.worker_crash = swarm(0.03);
  faults_.worker_pause = swarm(0.02);
  faults_.task_failure = swarm(0.1);
  faults_.task_release = swarm(0.1);
  faults_.blunder = swarm(0.3);
}

std::chrono::milliseconds SimWorld::elapsed() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(now_.monotonic - start_.monotonic);
}

void SimWorld::After(std::chrono::milliseconds delay, std::function<void()> action) {
  actions_.push({now_.monotonic + delay, order_++, std::move(action)});
}

void SimWorld::RunUntil(std::chrono::milliseconds end) {
  const MonotonicTime last = start_.monotonic + end;
  while (!actions_.empty() && actions_.top().time <= last) {
    Action next = actions_.top();
    actions_.pop();
    now_.wall += std::chrono::duration_cast<WallTime::duration>(next.time - now_.monotonic);
    now_.monotonic = next.time;
    next.run();
  }
}

void SimWorld::Trace(const std::string& what) {
  trace_hash_ = Philox::StreamOf(what, trace_hash_ + static_cast<std::uint64_t>(elapsed().count()));
}

}  // namespace gptvq

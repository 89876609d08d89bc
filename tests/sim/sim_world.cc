#include "tests/sim/sim_world.h"

#include <cstdio>
#include <utility>

namespace gptvq {

SimWorld::SimWorld(std::uint64_t seed, const std::set<SimFault>& without, SimTrace trace)
    : random_(seed, Philox::StreamOf("sim")),
      trace_(trace),
      start_{MonotonicTime(std::chrono::hours(1)), WallTime(std::chrono::hours(500'000))},
      now_(start_) {
  for (const SimFaultEntry& entry : kSimFaults) {
    const double rate = Chance(0.5) ? entry.greatest_rate * Uniform() : 0.0;
    rates_[static_cast<std::size_t>(entry.fault)] = without.contains(entry.fault) ? 0 : rate;
  }
  JumpNowAndThen();
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
    // The action is not part of the order, and is popped before it runs.
    Action next = std::move(const_cast<Action&>(actions_.top()));
    actions_.pop();
    now_.wall += std::chrono::duration_cast<WallTime::duration>(next.time - now_.monotonic);
    now_.monotonic = next.time;
    next.run();
  }
}

void SimWorld::Trace(const std::string& what) {
  const auto milliseconds = static_cast<std::uint64_t>(elapsed().count());
  trace_hash_ = Philox::StreamOf(what, trace_hash_ + milliseconds);
  if (trace_ == SimTrace::kPrint) std::printf("%9.3f  %s\n", static_cast<double>(milliseconds) / 1000, what.c_str());
}

void SimWorld::JumpNowAndThen() {
  if (Strikes(SimFault::kWallJump)) now_.wall += Between(-5'000'000, 5'000'000);
  After(std::chrono::milliseconds(1'000), [this] { JumpNowAndThen(); });
}

}  // namespace gptvq

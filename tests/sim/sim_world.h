#ifndef GPTVQ_TESTS_SIM_SIM_WORLD_H_
#define GPTVQ_TESTS_SIM_SIM_WORLD_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "platform/job/instant.h"
#include "tests/sim/sim_fault.h"

namespace gptvq {

enum class SimTrace { kHash, kPrint };

// Virtual time, one queue of what happens next, one source of randomness: a run is a function of its seed. Each seed
// switches a random subset of the faults on and draws their rates, so that some runs see one fault often and others many at
// once. Thread-compatible.
class SimWorld {
 public:
  // Faults in `without` never happen, whatever the seed says.
  SimWorld(std::uint64_t seed, const std::set<SimFault>& without, SimTrace trace);

  Instant now() const { return now_; }
  std::chrono::milliseconds elapsed() const;

  // Whether a fault happens at a place where it may.
  bool Strikes(SimFault fault) { return Chance(rates_[static_cast<std::size_t>(fault)]); }
  // No fault happens from now on.
  void Heal() { rates_ = {}; }

  // `action` happens after `delay`, after everything that was planned for the same moment before.
  void After(std::chrono::milliseconds delay, std::function<void()> action);
  // Lets everything happen that is planned up to `end` after the start.
  void RunUntil(std::chrono::milliseconds end);

  double Uniform() { return random_.Uniform(draws_++); }
  bool Chance(double probability) { return Uniform() < probability; }
  std::int64_t Below(std::int64_t bound) { return static_cast<std::int64_t>(Uniform() * static_cast<double>(bound)); }
  std::chrono::milliseconds Between(std::int64_t low_ms, std::int64_t high_ms) {
    return std::chrono::milliseconds(low_ms + Below(high_ms - low_ms + 1));
  }
  // How long one message takes.
  std::chrono::milliseconds Latency() { return Strikes(SimFault::kDelay) ? Between(500, 45'000) : Between(1, 20); }

  // Mixes what happened into the trace, whose hash tells whether two runs were the same; prints it if told to.
  void Trace(const std::string& what);
  std::uint64_t trace_hash() const { return trace_hash_; }

 private:
  struct Action {
    MonotonicTime time;
    std::uint64_t order;
    std::function<void()> run;

    bool operator<(const Action& other) const {  // the queue's top is the greatest
      return time != other.time ? time > other.time : order > other.order;
    }
  };

  void JumpNowAndThen();

  const Philox random_;
  const SimTrace trace_;
  std::uint64_t draws_ = 0;
  std::array<double, kSimFaults.size()> rates_{};
  const Instant start_;
  Instant now_;
  std::uint64_t order_ = 0;
  std::priority_queue<Action> actions_;
  std::uint64_t trace_hash_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SIM_WORLD_H_

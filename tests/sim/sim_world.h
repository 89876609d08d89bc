#ifndef GPTVQ_TESTS_SIM_SIM_WORLD_H_
#define GPTVQ_TESTS_SIM_SIM_WORLD_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "platform/job/instant.h"

namespace gptvq {

// What may go wrong in a run, as probabilities. Each seed switches a random subset on and draws the rates, so that some runs
// see one fault often and others many at once.
struct SimFaults {
  double drop = 0;               // a request or an answer is lost
  double duplicate = 0;          // a request arrives twice
  double delay = 0;              // a message takes seconds instead of milliseconds, so that others overtake it
  double append_refused = 0;     // the journal stores nothing and says so
  double append_ghost = 0;       // the journal stores and says that it did not
  double coordinator_crash = 0;  // per second
  double worker_crash = 0;       // per second and worker
  double worker_pause = 0;       // per second and worker; long enough to become a zombie
  double task_failure = 0;       // a task reports a failure instead of going on, per layer
  double task_release = 0;       // a worker gives its task back, per layer
  double blunder = 0;            // a worker sends what no correct worker sends, per layer
};

// Virtual time, one queue of what happens next, one source of randomness: a run is a function of its seed.
// Thread-compatible.
class SimWorld {
 public:
  explicit SimWorld(std::uint64_t seed);

  Instant now() const { return now_; }
  std::chrono::milliseconds elapsed() const;
  const SimFaults& faults() const { return faults_; }
  // No fault happens from now on.
  void Heal() { faults_ = {}; }

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
  std::chrono::milliseconds Latency() { return Chance(faults_.delay) ? Between(500, 45'000) : Between(1, 20); }

  // Mixes what happened into the trace, whose hash tells whether two runs were the same.
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

  const Philox random_;
  std::uint64_t draws_ = 0;
  SimFaults faults_;
  const Instant start_;
  Instant now_;
  std::uint64_t order_ = 0;
  std::priority_queue<Action> actions_;
  std::uint64_t trace_hash_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SIM_WORLD_H_

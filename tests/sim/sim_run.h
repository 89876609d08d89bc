#ifndef GPTVQ_TESTS_SIM_SIM_RUN_H_
#define GPTVQ_TESTS_SIM_SIM_RUN_H_

#include <array>
#include <cstdint>
#include <optional>
#include <set>

#include "platform/job_store/job_store.h"
#include "tests/sim/sim_checker.h"

namespace gptvq {

// What a run is a function of. By default the seed decides everything.
struct SimCase {
  std::uint64_t seed = 1;
  std::set<SimFault> without = {};  // switched off, to find what a failure needs
  int most_jobs = 3;                // at most 3
  int most_workers = 8;             // at most 8
  SimTrace trace = SimTrace::kHash;
};

// What happened in one run, or in several.
struct SimSummary {
  std::uint64_t trace_hash = 0;
  std::optional<Violation> violation;  // the first one
  std::array<std::int64_t, kInvariants.size()> checks{};
  std::int64_t tasks = 0;
  std::int64_t grants = 0;
  std::int64_t succeeded = 0;
  std::int64_t failed = 0;
  std::int64_t cancelled = 0;
  std::array<std::int64_t, kAllAuditOutcomes.size()> audits{};  // what they came to

  void Add(const SimSummary& other);
};

// Runs the production scheduler, ledger, grants and commit path in a simulated world. Half of the seeds end in *safety* mode,
// with faults to the end; the others in *liveness* mode: at a random moment the faults end, a few workers of each class stay and
// every accepted job has to end. `journal` is empty before and holds the run's jobs after.
SimSummary RunSim(const SimCase& sim, JobStore& journal);
// The same over a journal in memory.
SimSummary RunSim(const SimCase& sim);

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SIM_RUN_H_

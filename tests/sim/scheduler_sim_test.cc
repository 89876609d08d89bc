// The production scheduler, ledger, grants and commit path under a hostile network, failing stores, crashing processes,
// cancellations and repetitions, in virtual time. A run is a function of its seed; docs/simulation.md says what is checked.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "core/base/check.h"
#include "platform/job_store/sqlite_job_store.h"
#include "tests/sim/sim_run.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_random.h"

namespace gptvq {
namespace {

constexpr int kSeeds = GPTVQ_SIM_SEEDS;

TEST(SchedulerSim, NoSeedBreaksAnInvariantAndEveryAcceptedJobEnds) {
  SimSummary total;
  for (std::uint64_t seed = TestSeed(); seed < TestSeed() + kSeeds; ++seed) {
    const SimSummary summary = RunSim({.seed = seed});
    ASSERT_FALSE(summary.violation) << EntryOf(summary.violation->invariant).name << ": " << summary.violation->text
                                    << "\nreplay: make sim SEEDS=1 SEED=" << seed;
    total.Add(summary);
  }
  std::printf("%d seeds: %d grants, %d jobs succeeded, %d failed, %d cancelled\n", kSeeds,
              static_cast<int>(total.grants), static_cast<int>(total.succeeded), static_cast<int>(total.failed),
              static_cast<int>(total.cancelled));
  // A simulation in which nothing happens proves nothing.
  EXPECT_GT(total.succeeded, kSeeds / 2);
  EXPECT_GT(total.failed, kSeeds / 50);
  EXPECT_GT(total.cancelled, kSeeds / 50);
  EXPECT_GT(total.grants, 10 * kSeeds);
  for (AuditOutcome outcome : kAllAuditOutcomes) {
    EXPECT_GT(total.audits[static_cast<std::size_t>(outcome)], kSeeds / 200) << Name(outcome);
  }
  for (const InvariantEntry& entry : kInvariants) {
    EXPECT_GT(total.checks[static_cast<std::size_t>(entry.invariant)], kSeeds / 4) << entry.name;
  }
}

TEST(SchedulerSim, ARunIsAFunctionOfItsSeed) {
  for (std::uint64_t seed = TestSeed(); seed < TestSeed() + kSeeds / 100; ++seed) {
    EXPECT_EQ(RunSim({.seed = seed}).trace_hash, RunSim({.seed = seed}).trace_hash) << seed;
  }
  EXPECT_NE(RunSim({.seed = TestSeed()}).trace_hash, RunSim({.seed = TestSeed() + 1}).trace_hash);
}

SimSummary RunOverSqlite(const SimCase& options) {
  const TemporaryDirectory directory;
  const auto journal = SqliteJobStore::Open(directory.path());
  GPTVQ_CHECK(journal.ok());
  return RunSim(options, **journal);
}

TEST(SchedulerSim, ARunIsTheSameOverSqlite) {
  for (std::uint64_t seed = TestSeed(); seed < TestSeed() + 10; ++seed) {
    // Forged epochs begin generations, and how far those rise is drawn anew in every database.
    const SimCase options = {.seed = seed, .without = {SimFault::kBlunder}};

    const SimSummary over_sqlite = RunOverSqlite(options);

    EXPECT_FALSE(over_sqlite.violation) << over_sqlite.violation->text;
    EXPECT_EQ(over_sqlite.trace_hash, RunSim(options).trace_hash) << seed;
  }
}

TEST(SchedulerSim, GenerationsBeginOverSqliteToo) {
  for (std::uint64_t seed = TestSeed(); seed < TestSeed() + 10; ++seed) {
    const SimSummary over_sqlite = RunOverSqlite({.seed = seed});

    EXPECT_FALSE(over_sqlite.violation) << over_sqlite.violation->text;
  }
}

TEST(SchedulerSim, AFaultThatIsSwitchedOffDoesNotStopTheOthers) {
  const SimSummary quiet =
      RunSim({.seed = TestSeed(), .without = {SimFault::kDrop}, .most_jobs = 1, .most_workers = 1});

  EXPECT_FALSE(quiet.violation);
  EXPECT_GT(quiet.grants, 0);
}

}  // namespace
}  // namespace gptvq

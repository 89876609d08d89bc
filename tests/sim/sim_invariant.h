#ifndef GPTVQ_TESTS_SIM_SIM_INVARIANT_H_
#define GPTVQ_TESTS_SIM_SIM_INVARIANT_H_

#include <array>
#include <string_view>

namespace gptvq {

// What must hold after every event of a simulated run. docs/simulation.md says which document each comes from.
enum class Invariant {
  kGrantedOnce,
  kEpochRises,
  kHolderChanges,
  kCommittedOnce,
  kHolderExtends,
  kOutputsStored,
  kDependenciesFirst,
  kCountersRecount,
  kAcknowledgedPersists,
  kCancelWins,
  kFailureCounts,
  kQuarantine,
  kNeededKept,
  kRetryBudget,
  kAdmission,
  kGoldenManifest,
  kEveryJobEnds,
  kNoStarvation,
  kEventChain,
  kTable,
  kOneClass,
  kOneWriter,
  kPeers,
  kGarbageGoes,
  kRepair,
  kSickDevice,
  kKeptWork,
  kAudit,
};

struct InvariantEntry {
  Invariant invariant;
  std::string_view name;
  std::string_view sentence;
};

inline constexpr std::array kInvariants = {
    InvariantEntry{Invariant::kGrantedOnce, "I1", "no (task, epoch) is granted twice, no poll gets two tasks"},
    InvariantEntry{Invariant::kEpochRises, "I2",
                   "the epoch of a task rises with every grant, to the next of its generation, and never falls"},
    InvariantEntry{Invariant::kHolderChanges, "I3", "a held task is changed by its holder under its epoch, or by time"},
    InvariantEntry{Invariant::kCommittedOnce, "I4",
                   "a task is committed once; repetitions are told so, others refused"},
    InvariantEntry{Invariant::kHolderExtends, "I5", "only the holder extends a lease, and a living holder keeps it"},
    InvariantEntry{Invariant::kOutputsStored, "I6", "what is committed is stored, whole"},
    InvariantEntry{Invariant::kDependenciesFirst, "I7", "a task is granted after everything it depends on"},
    InvariantEntry{Invariant::kCountersRecount, "I9", "counters of a job equal a recount"},
    InvariantEntry{Invariant::kAcknowledgedPersists, "I10", "what was acknowledged is in the journal and stays"},
    InvariantEntry{Invariant::kCancelWins, "I11",
                   "after a cancellation nothing is granted or committed; holders hear of it"},
    InvariantEntry{Invariant::kFailureCounts, "I12", "failures are counted in their class, and only they"},
    InvariantEntry{Invariant::kQuarantine, "I13",
                   "a worker in quarantine gets and keeps nothing, is there for cause, and not with too many"},
    InvariantEntry{Invariant::kNeededKept, "I14",
                   "what a job still needs is never deleted, and there when it is granted"},
    InvariantEntry{Invariant::kRetryBudget, "I15", "no retry beyond the budget or before the rest is over"},
    InvariantEntry{Invariant::kAdmission, "I16", "no more active jobs than the limit"},
    InvariantEntry{Invariant::kGoldenManifest, "I17", "the manifest is a function of the job"},
    InvariantEntry{Invariant::kEveryJobEnds, "I18", "once a core is healed every accepted job ends"},
    InvariantEntry{Invariant::kNoStarvation, "I19", "no task rests while a worker that may take it gets nothing"},
    InvariantEntry{Invariant::kEventChain, "I20", "events have no gap and tell every change"},
    InvariantEntry{Invariant::kTable, "P1", "states follow the tables, and ends are never left"},
    InvariantEntry{Invariant::kOneClass, "P2", "a job runs in one numerics class"},
    InvariantEntry{Invariant::kOneWriter, "P3", "the journal never refuses its only writer"},
    InvariantEntry{Invariant::kPeers, "P4", "no correct peer is misled or refused"},
    InvariantEntry{Invariant::kGarbageGoes, "P5", "once a core is healed what nobody needs goes, after its grace"},
    InvariantEntry{Invariant::kRepair, "P6",
                   "what the store lost is made again by its maker, the same, and nothing else"},
    InvariantEntry{Invariant::kSickDevice, "P7",
                   "a device that is out gets nothing, and a host that wants a reboot keeps nothing"},
    InvariantEntry{Invariant::kKeptWork, "P8",
                   "what was kept of a layer is given to whoever works on it next, and replaced by newer work alone"},
    InvariantEntry{Invariant::kAudit, "P9",
                   "an audit is by another worker, blames nobody who computes right, and vouches for no wrong byte"},
};
static_assert(kInvariants.back().invariant == Invariant::kAudit && kInvariants.size() == 28);  // indexed by the enum

constexpr const InvariantEntry& EntryOf(Invariant invariant) {
  return kInvariants[static_cast<std::size_t>(invariant)];
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SIM_INVARIANT_H_

#ifndef GPTVQ_TESTS_SIM_SIM_FAULT_H_
#define GPTVQ_TESTS_SIM_SIM_FAULT_H_

#include <array>
#include <optional>
#include <string_view>

namespace gptvq {

// What may go wrong in a run.
enum class SimFault {
  kDrop,              // a request or an answer is lost
  kDuplicate,         // a request arrives twice
  kDelay,             // a message takes seconds instead of milliseconds, so that others overtake it
  kCut,               // per second and worker: one direction of its link is dead for a while
  kJournalRefusal,    // the journal stores nothing and says so
  kJournalGhost,      // the journal stores and says that it did not
  kJournalOutage,     // per second: the journal neither stores nor reads for a while, as with a full disk
  kStoreRefusal,      // the object store does not answer
  kStoreGhost,        // the object store stores and says that it did not
  kArtifactLoss,      // per second: an artifact of the store is gone, or changed
  kDamagedUpload,     // the bytes of a layer arrive changed
  kCoordinatorCrash,  // per second
  kCoordinatorPause,  // per second; it stands still, and what arrives waits
  kWorkerCrash,       // per second and worker
  kWorkerPause,       // per second and worker; long enough to become a zombie
  kWedge,             // a worker goes on renewing but never works again, per layer
  kTaskFailure,       // a task reports a failure instead of going on, per layer
  kBadWorker,         // per second and worker: it fails whatever it is given for a while
  kTaskRelease,       // a worker gives its task back, per layer
  kBlunder,           // a worker or client sends what no correct one sends, per layer
  kWallJump,          // per second: the wall clock jumps by hours
  kWrongBytes,        // per second and worker: for a while it computes something else, always or now and then
  kSickDevice,        // per second and worker: its device, or its whole host, says for a while that it is out
};

struct SimFaultEntry {
  SimFault fault;
  std::string_view name;
  double greatest_rate;  // as a probability
};

// Rates that let most jobs get somewhere: at one layer per ten seconds or so a job lives for minutes.
inline constexpr std::array kSimFaults = {
    SimFaultEntry{SimFault::kDrop, "drop", 0.3},
    SimFaultEntry{SimFault::kDuplicate, "duplicate", 0.3},
    SimFaultEntry{SimFault::kDelay, "delay", 0.2},
    SimFaultEntry{SimFault::kCut, "cut", 0.02},
    SimFaultEntry{SimFault::kJournalRefusal, "journal-refusal", 0.1},
    SimFaultEntry{SimFault::kJournalGhost, "journal-ghost", 0.1},
    SimFaultEntry{SimFault::kJournalOutage, "journal-outage", 0.01},
    SimFaultEntry{SimFault::kStoreRefusal, "store-refusal", 0.2},
    SimFaultEntry{SimFault::kStoreGhost, "store-ghost", 0.2},
    SimFaultEntry{SimFault::kArtifactLoss, "artifact-loss", 0.02},
    SimFaultEntry{SimFault::kDamagedUpload, "damaged-upload", 0.2},
    SimFaultEntry{SimFault::kCoordinatorCrash, "coordinator-crash", 0.03},
    SimFaultEntry{SimFault::kCoordinatorPause, "coordinator-pause", 0.01},
    SimFaultEntry{SimFault::kWorkerCrash, "worker-crash", 0.03},
    SimFaultEntry{SimFault::kWorkerPause, "worker-pause", 0.02},
    SimFaultEntry{SimFault::kWedge, "wedge", 0.02},
    SimFaultEntry{SimFault::kTaskFailure, "task-failure", 0.1},
    SimFaultEntry{SimFault::kBadWorker, "bad-worker", 0.005},
    SimFaultEntry{SimFault::kTaskRelease, "task-release", 0.1},
    SimFaultEntry{SimFault::kBlunder, "blunder", 0.3},
    SimFaultEntry{SimFault::kWallJump, "wall-jump", 0.05},
    SimFaultEntry{SimFault::kWrongBytes, "wrong-bytes", 0.005},
    SimFaultEntry{SimFault::kSickDevice, "sick-device", 0.005},
};
static_assert(kSimFaults.back().fault == SimFault::kSickDevice && kSimFaults.size() == 23);  // indexed by the enum

constexpr std::string_view Name(SimFault fault) { return kSimFaults[static_cast<std::size_t>(fault)].name; }

constexpr std::optional<SimFault> ParseSimFault(std::string_view name) {
  for (const SimFaultEntry& entry : kSimFaults) {
    if (entry.name == name) return entry.fault;
  }
  return std::nullopt;
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SIM_FAULT_H_

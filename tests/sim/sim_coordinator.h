#ifndef GPTVQ_TESTS_SIM_SIM_COORDINATOR_H_
#define GPTVQ_TESTS_SIM_SIM_COORDINATOR_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "platform/job/lease.h"
#include "server/ledger.h"
#include "tests/sim/sim_stores.h"

namespace gptvq {

// What travels to the coordinator: an event and, with PublishLayer, the bytes of the layer.
struct SimRequest {
  Event event;
  std::string upload;
};

// What comes back.
struct SimAnswer {
  absl::StatusOr<Decision> decision;
  std::optional<TaskGrant> grant;  // of a poll that got a task
};
using SimHandler = std::function<void(const SimAnswer&)>;

// The connection of one peer, each direction of which may be dead for a while.
struct SimLink {
  MonotonicTime requests_cut_until;
  MonotonicTime answers_cut_until;
};

// The real ledger, scheduler and receiver of layers behind a network that loses, repeats, delays and reorders, and in a
// process that crashes. Borrows everything.
class SimCoordinator {
 public:
  SimCoordinator(SimWorld& world, SimChecker& checker, JobStore& journal, ObjectStore& objects);

  static SchedulerOptions Options();

  // Sends a request; `on_answer` runs if and when an answer comes back. `link` outlives the run.
  void Call(const SimRequest& request, const SimLink& link, SimHandler on_answer);
  // Up, and in step with its journal from then on.
  void StartForGood();
  // Where workers put boundaries.
  ArtifactStore& artifacts() { return artifacts_; }
  // Whether garbage that nobody names goes, too.
  bool prunes() const { return garbage_.unknown_grace.has_value(); }

 private:
  void Tick();
  void Arrive(const SimRequest& request, const SimLink& link, const SimHandler& on_answer);
  // What was found out about an artifact before the journal is asked.
  struct Looked {
    absl::Status stored;
    std::optional<DeletionCount> seen;
  };
  void LookForLost(FailTask event, const SimLink& link, const SimHandler& on_answer);
  // A request that waits to be recorded with others.
  struct Waiting {
    SimRequest request;
    std::optional<DeletionCount> seen;
    const SimLink* link = nullptr;
    SimHandler on_answer;
  };
  void Propose(const SimRequest& request, const Looked& looked, const SimLink& link, const SimHandler& on_answer);
  void RecordWaiting();
  void RecordAll(absl::Span<Proposal* const> batch);
  absl::StatusOr<Decision> Record(const Event& event);
  SimAnswer AnswerOf(const Proposal& proposal);
  void Answer(const SimAnswer& answer, const SimLink& link, const SimHandler& on_answer);
  Looked Receive(const PublishLayer& event, const std::string& upload);
  absl::Status Store(const PublishLayer& event, const std::string& upload, DeletionCount& seen);
  void CollectGarbage();
  void Delete(const std::vector<Digest>& artifacts);

  SimWorld& world_;
  SimChecker& checker_;
  FaultyJobStore journal_;
  FaultyObjectStore objects_;
  ArtifactStore artifacts_;
  const GarbageOptions garbage_;
  const std::chrono::milliseconds gathering_time_;  // what comes within it is recorded together
  std::unique_ptr<Ledger> ledger_;                  // null while the process is down
  std::vector<Waiting> waiting_;                    // of this process
  int life_ = 0;                                    // of the process
  int deletions_under_way_ = 0;                     // of this process
  MonotonicTime awake_at_;                          // it stands still until then
  MonotonicTime last_tick_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SIM_COORDINATOR_H_

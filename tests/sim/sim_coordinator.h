#ifndef GPTVQ_TESTS_SIM_SIM_COORDINATOR_H_
#define GPTVQ_TESTS_SIM_SIM_COORDINATOR_H_

#include <functional>
#include <memory>
#include <optional>

#include "platform/job_store/memory_job_store.h"
#include "server/ledger.h"
#include "tests/sim/sim_checker.h"
#include "tests/sim/sim_world.h"

namespace gptvq {

// A journal that now and then refuses, or stores and says that it did not. What it truly stored goes to the checker.
class FaultyJobStore final : public JobStore {
 public:
  FaultyJobStore(SimWorld& world, SimChecker& checker) : world_(world), checker_(checker) {}

  absl::Status Append(const Transition& transition) override;
  absl::StatusOr<State> LoadActive() override { return store_.LoadActive(); }
  absl::StatusOr<JobSnapshot> ReadJob(std::string_view job_id) override { return store_.ReadJob(job_id); }
  absl::StatusOr<std::optional<std::string>> FindRequest(std::string_view id) override {
    return store_.FindRequest(id);
  }
  absl::StatusOr<std::vector<PublishedLayer>> ReadLayers(std::string_view id) override { return store_.ReadLayers(id); }
  absl::StatusOr<std::vector<JobEvent>> ReadEvents(std::string_view job_id, std::int64_t after, int limit) override {
    return store_.ReadEvents(job_id, after, limit);
  }
  absl::StatusOr<std::vector<JobSnapshot>> ListJobs(const Query& query) override { return store_.ListJobs(query); }
  absl::StatusOr<std::string> Secret() override { return store_.Secret(); }

 private:
  SimWorld& world_;
  SimChecker& checker_;
  MemoryJobStore store_;
};

// What an answer carries over the simulated network.
struct SimAnswer {
  absl::StatusOr<Decision> decision;
  std::optional<TaskGrant> grant;  // of a poll that got a task
};
using SimHandler = std::function<void(const SimAnswer&)>;

// The real ledger and scheduler behind a network that loses, repeats, delays and reorders, and in a process that crashes.
class SimCoordinator {
 public:
  SimCoordinator(SimWorld& world, SimChecker& checker);

  // Sends an event; `on_answer` runs if and when an answer comes back.
  void Call(const Event& event, SimHandler on_answer);
  // Up, and in step with its journal from then on.
  void StartForGood();

 private:
  void Tick();
  SimAnswer Handle(const Event& event);

  SimWorld& world_;
  SimChecker& checker_;
  FaultyJobStore store_;
  std::unique_ptr<Ledger> ledger_;  // null while the process is down
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SIM_COORDINATOR_H_

#include "tests/sim/sim_coordinator.h"

#include <utility>

#include "server/grant.h"

namespace gptvq {

absl::Status FaultyJobStore::Append(const Transition& transition) {
  if (world_.Chance(world_.faults().append_refused)) return absl::UnavailableError("the simulated disk is away");
  const absl::Status appended = store_.Append(transition);
  if (!appended.ok()) {
    checker_.Violation("the only writer was refused: " + appended.ToString());
    return appended;
  }
  checker_.OnJournaled(transition);
  world_.Trace(transition.job_id + "#" + std::to_string(transition.job ? transition.job->revision : 0));
  if (world_.Chance(world_.faults().append_ghost)) return absl::UnavailableError("the simulated answer was lost");
  return absl::OkStatus();
}

SimCoordinator::SimCoordinator(SimWorld& world, SimChecker& checker)
    : world_(world), checker_(checker), store_(world, checker) {
  StartForGood();
  Tick();
}

void SimCoordinator::Call(const Event& event, SimHandler on_answer) {
  const int copies = world_.Chance(world_.faults().duplicate) ? 2 : 1;
  for (int copy = 0; copy < copies; ++copy) {
    if (world_.Chance(world_.faults().drop)) continue;
    world_.After(world_.Latency(), [this, event, on_answer] {
      if (ledger_ == nullptr) return;  // nobody listens
      const SimAnswer answer = Handle(event);
      if (world_.Chance(world_.faults().drop)) return;
      world_.After(world_.Latency(), [answer, on_answer] { on_answer(answer); });
    });
  }
}

void SimCoordinator::StartForGood() {
  if (ledger_ != nullptr) return;
  SchedulerOptions options;
  options.retained_jobs = 2;
  ledger_ = std::make_unique<Ledger>(store_, options);
  if (!ledger_->Load(world_.now()).ok()) checker_.Violation("the journal cannot be read");
  const auto state = store_.LoadActive();
  for (const JobSnapshot& job : state->active_jobs) checker_.OnStored(job);
}

void SimCoordinator::Tick() {
  if (ledger_ != nullptr && world_.Chance(world_.faults().coordinator_crash)) {
    ledger_.reset();
    world_.After(world_.Between(100, 60'000), [this] { StartForGood(); });
  }
  if (ledger_ != nullptr) {
    while (true) {
      const SimAnswer answer = Handle(gptvq::Tick{});
      if (!answer.decision.ok() || answer.decision->outcome == Outcome::kNothing) break;
    }
  }
  world_.After(std::chrono::milliseconds(1'000), [this] { Tick(); });
}

SimAnswer SimCoordinator::Handle(const Event& event) {
  SimAnswer answer = {ledger_->Record(event, world_.now()), std::nullopt};
  if (!answer.decision.ok()) return answer;
  if (const auto* renew = std::get_if<RenewLease>(&event)) checker_.OnRenewed(renew->lease);
  if (std::holds_alternative<PollTask>(event) && answer.decision->outcome != Outcome::kNothing) {
    const auto found = ledger_->scheduler().FindTask(answer.decision->task_id);
    answer.grant = MakeGrant(*found->job, found->task->description.index, ledger_->scheduler().options().lease_ttl,
                             *store_.ReadLayers(found->job->description.job_id));
  }
  return answer;
}

}  // namespace gptvq

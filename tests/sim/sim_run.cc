#include "tests/sim/sim_run.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "platform/job_store/memory_job_store.h"
#include "tests/sim/scripted_worker.h"
#include "tests/sim/sim_client.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

constexpr minutes kSafetyTime(15);
// After the faults end, every job has to end within this much virtual time: backoffs, leases, stalls and the work itself,
// by a single worker.
constexpr minutes kHealingTime(120);
// And what they leave is deleted within this: the graces, surveys, and deletions that have to settle, few at a time.
constexpr minutes kTidyTime(60);

// Everything of one run.
struct Scene {
  Scene(const SimCase& sim, JobStore& journal)
      : world(sim.seed, sim.without, sim.trace),
        checker(world, objects, SimCoordinator::Options()),
        coordinator(world, checker, journal, objects) {
    // Half of the runs audit nothing, a quarter everything; two that differ want a third.
    const double audit_fraction = world.Chance(0.5) ? 0 : std::min(1.0, 2 * world.Uniform());
    const std::int64_t class_count = 1 + (world.Chance(audit_fraction > 0 ? 0.1 : 0.5) ? 1 : 0);
    const std::int64_t worker_count = 1 + world.Below(audit_fraction > 0 ? 8 : 4);
    for (std::int64_t i = 0; i < std::max(worker_count, class_count); ++i) {
      if (i >= sim.most_workers) break;
      workers.push_back(std::make_unique<ScriptedWorker>(
          "worker-" + std::to_string(i), "class-" + std::to_string(i % class_count), world, coordinator, checker));
    }
    const std::int64_t core_of_class = audit_fraction > 0 ? 1 + world.Below(4) : 1;
    core = std::min(static_cast<std::size_t>(core_of_class * class_count), workers.size());
    const std::int64_t client_count = 1 + world.Below(3);
    for (int i = 0; i < std::min<std::int64_t>(client_count, sim.most_jobs); ++i) {
      clients.push_back(std::make_unique<SimClient>(i, audit_fraction, world, coordinator));
    }
    ReleaseSomebody();
  }

  // An operator who now and then vouches for a worker, whatever it did.
  void ReleaseSomebody() {
    const std::string name = "worker-" + std::to_string(world.Below(4));
    if (world.Chance(0.2)) coordinator.Call({ReleaseWorker{name}, ""}, operator_link, [](const SimAnswer&) {});
    world.After(milliseconds(60'000), [this] { ReleaseSomebody(); });
  }

  // One worker of each class goes on in a faultless world.
  void HealCore() {
    world.Heal();
    world.Trace("a core is healed");
    for (std::size_t i = core; i < workers.size(); ++i) workers[i]->Retire();
    coordinator.StartForGood();
  }

  bool AllSubmitted() const {
    return std::all_of(clients.begin(), clients.end(), [](const auto& client) { return client->submitted(); });
  }

  bool StoreIsEmpty() const { return objects.List("artifacts", ListScope::kRecursive)->empty(); }

  MemoryObjectStore objects;
  SimWorld world;
  SimChecker checker;
  SimCoordinator coordinator;
  std::vector<std::unique_ptr<ScriptedWorker>> workers;
  std::vector<std::unique_ptr<SimClient>> clients;
  SimLink operator_link;
  std::size_t core = 0;  // workers that stay
};

void RunToTheEnd(Scene& scene) {
  const bool liveness = scene.world.Chance(0.5);
  if (!liveness) return scene.world.RunUntil(kSafetyTime);
  const milliseconds faulty_time = scene.world.Between(60'000, 600'000);
  scene.world.RunUntil(faulty_time);
  scene.HealCore();
  milliseconds end = faulty_time;
  while (!(scene.AllSubmitted() && scene.checker.AllEnded()) && !scene.checker.violation() &&
         end < faulty_time + kHealingTime) {
    scene.world.RunUntil(end += minutes(1));
  }
  scene.checker.OnHealed(scene.AllSubmitted());
  // Clients that cancel or come back do so until now; then graces end, unknown artifacts are found, deletions settle.
  if (!scene.coordinator.prunes()) return;
  const milliseconds tidy_end = end + kTidyTime;
  while (!scene.StoreIsEmpty() && end < tidy_end) scene.world.RunUntil(end += minutes(1));
  scene.checker.OnTidied(scene.StoreIsEmpty());
}

}  // namespace

void SimSummary::Add(const SimSummary& other) {
  trace_hash = Philox::StreamOf("sum", trace_hash ^ other.trace_hash);
  if (!violation) violation = other.violation;
  for (std::size_t i = 0; i < checks.size(); ++i) checks[i] += other.checks[i];
  tasks += other.tasks;
  grants += other.grants;
  succeeded += other.succeeded;
  failed += other.failed;
  cancelled += other.cancelled;
  for (std::size_t i = 0; i < audits.size(); ++i) audits[i] += other.audits[i];
}

SimSummary RunSim(const SimCase& sim, JobStore& journal) {
  Scene scene(sim, journal);
  RunToTheEnd(scene);
  SimChecker& checker = scene.checker;
  for (const std::string& job_id : checker.job_ids()) {
    const auto stored = journal.ReadJob(job_id);
    if (stored.ok()) {
      checker.OnStored(*stored);
    } else {
      checker.Violate(Invariant::kAcknowledgedPersists, job_id + ": " + stored.status().ToString());
    }
  }
  SimSummary summary;
  summary.trace_hash = scene.world.trace_hash();
  summary.violation = checker.violation();
  summary.checks = checker.checks();
  summary.tasks = checker.tasks();
  summary.grants = checker.grants();
  summary.succeeded = checker.ended_with(JobState::kSucceeded);
  summary.failed = checker.ended_with(JobState::kFailed);
  summary.cancelled = checker.ended_with(JobState::kCancelled);
  summary.audits = checker.audits();
  return summary;
}

SimSummary RunSim(const SimCase& sim) {
  MemoryJobStore journal;
  return RunSim(sim, journal);
}

}  // namespace gptvq

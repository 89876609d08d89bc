// F16: how surely audits of 1 % find a worker that is wrong now and then, before anything is finalized. The shipping scheduler, with
// nothing between it and eight workers; docs/simulation.md has the faults.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "server/grant.h"
#include "tests/server/scheduler/scheduler_harness.h"

namespace gptvq {
namespace {

constexpr int kSeeds = 200;
constexpr int kWorkers = 8;
constexpr int kLayers = 500;  // each a shard: 999 tasks, and those that audit them
constexpr char kWrong[] = "worker-0";

struct Found {
  int bad_tasks = 0;      // that the wrong worker was wrong in
  bool detected = false;  // before the job was finalized
};

// Does the work of a grant; wrong bytes are wrong in everything that the task makes, and are no worker's but its own.
void Compute(const Lease& lease, bool wrong, SchedulerHarness& h) {
  const auto found = h.scheduler.FindTask(lease.task_id);
  const TaskGrant grant = MakeGrant(*found->job, found->key.index, std::chrono::milliseconds(1), {});
  const std::string suffix = wrong ? " wrong in " + lease.task_id : "";
  const std::string input = grant.input_boundary ? grant.input_boundary->hex() : "";
  const Digest boundary = DigestOf("boundary " + std::to_string(grant.layers.end) + input + suffix);
  TaskResult result = {{}, QuantizeResult{}};
  if (grant.kind == TaskKind::kCapture) result = {{}, CaptureResult{boundary}};
  if (grant.kind == TaskKind::kFinalize) result = {{}, FinalizeResult{1, DigestOf("manifest")}};
  if (grant.kind == TaskKind::kQuantize) {
    const Digest layer = DigestOf("layer " + std::to_string(grant.layers.begin) + input + suffix);
    ASSERT_TRUE(h.Do(PublishLayer{lease, {grant.layers.begin, layer, {}}}).ok());
  }
  ASSERT_TRUE(h.Do(CompleteTask{lease, result}).ok());
}

// One job, in which one of the workers is wrong in `rate` of its tasks.
Found RunJob(int seed, double fraction, double rate) {
  SchedulerHarness h;
  JobSpec spec = AJobSpec();
  spec.propagation = PropagationMode::kParallel;
  spec.shard_layers = 1;
  spec.evaluation_uri.clear();
  const std::string job_id = h.Submit(spec, kLayers, "job-" + std::to_string(seed), fraction);
  std::vector<WorkerKey> workers;
  for (int i = 0; i < kWorkers; ++i) workers.push_back(h.Register("worker-" + std::to_string(i)));
  const Philox random(static_cast<std::uint64_t>(seed), Philox::StreamOf("F16"));
  std::uint64_t draws = 0;
  Found result;
  while (!IsTerminal(h.JobStateOf(job_id))) {
    h.Advance(std::chrono::seconds(1));
    std::vector<Lease> leases;
    for (const WorkerKey& worker : workers) leases.push_back(h.Poll(worker));
    for (const Lease& lease : leases) {
      if (lease.task_id.empty()) continue;
      const bool audit = lease.task_id.find("/audit-") != std::string::npos;
      const bool wrong = lease.worker_name == kWrong && random.Uniform(draws++) < rate;
      result.bad_tasks += wrong && !audit;
      Compute(lease, wrong, h);
    }
    result.detected |= h.scheduler.standings().contains(kWrong);
  }
  EXPECT_EQ(h.JobStateOf(job_id), JobState::kSucceeded);
  for (const auto& [name, standing] : h.scheduler.standings()) EXPECT_EQ(name, kWrong) << "is taken for wrong";
  return result;
}

TEST(AuditDetection, FindsOneOfKBadTasksAsOftenAsOnePercentSays) {
  for (double rate : {0.1, 0.5}) {
    int detected = 0, bad = 0;
    double expected = 0, variance = 0;
    for (int seed = 0; seed < kSeeds; ++seed) {
      const Found found = RunJob(seed, 0.01, rate);
      const double chance = 1 - std::pow(0.99, found.bad_tasks);
      detected += found.detected;
      bad += found.bad_tasks;
      expected += chance;
      variance += chance * (1 - chance);
    }
    std::printf(
        "wrong in %.0f %% of its tasks, %.1f of them in a job: found in %d of %d jobs, expected at least %.1f\n",
        100 * rate, static_cast<double>(bad) / kSeeds, detected, kSeeds, expected);
    // Four sigma of the choice of tasks, which is a hash.
    EXPECT_GE(detected, expected - 4 * std::sqrt(variance));
  }
}

TEST(AuditDetection, FindsEveryBadTaskWhereAllAreAudited) {
  for (int seed = 0; seed < 5; ++seed) {
    const Found found = RunJob(seed, 1, 0.05);

    EXPECT_EQ(found.detected, found.bad_tasks > 0);
  }
}

}  // namespace
}  // namespace gptvq

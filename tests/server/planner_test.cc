#include "server/planner.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/job_builders.h"

namespace gptvq {
namespace {

JobSpec Spec(PropagationMode mode, int shard_layers) {
  JobSpec spec = AJobSpec();
  spec.propagation = mode;
  spec.shard_layers = shard_layers;
  return spec;
}

// The plan as one line per task: "id [begin,end) <boundary-producer (dependencies) >boundary target".
std::vector<std::string> Lines(const JobPlan& plan) {
  std::vector<std::string> lines;
  for (const TaskDescription& task : plan.tasks) {
    std::string line =
        task.task_id + " [" + std::to_string(task.layers.begin) + "," + std::to_string(task.layers.end) + ")";
    if (task.input_boundary_of) line += " <" + plan.tasks[*task.input_boundary_of].task_id;
    for (int dependency : task.dependencies) line += " after " + plan.tasks[dependency].task_id;
    if (task.output_boundary_wanted) line += " >boundary";
    if (task.target) line += " of " + std::string(Name(*task.target));
    lines.push_back(line);
  }
  return lines;
}

TEST(PlanJob, SequentialByDefaultIsOneShard) {
  const auto plan = PlanJob(Spec(PropagationMode::kSequential, 0), 30, "j");

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->shard_layers, 30);
  EXPECT_EQ(Lines(*plan), (std::vector<std::string>{"j/quantize-0 [0,30)", "j/finalize-0 [0,30) after j/quantize-0",
                                                    "j/evaluate-0 [0,30) of source",
                                                    "j/evaluate-1 [0,30) after j/finalize-0 of quantized"}));
}

TEST(PlanJob, SequentialShardsAreAChainAndTheLastMayBeShorter) {
  JobSpec spec = Spec(PropagationMode::kSequential, 2);
  spec.evaluation_uri.clear();

  const auto plan = PlanJob(spec, 5, "j");

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(Lines(*plan),
            (std::vector<std::string>{"j/quantize-0 [0,2) >boundary",
                                      "j/quantize-1 [2,4) <j/quantize-0 after j/quantize-0 >boundary",
                                      "j/quantize-2 [4,5) <j/quantize-1 after j/quantize-1",
                                      "j/finalize-0 [0,5) after j/quantize-0 after j/quantize-1 after j/quantize-2"}));
}

TEST(PlanJob, ParallelShardsDependOnTheCapturesAloneAndTheLastShardIsNotCaptured) {
  JobSpec spec = Spec(PropagationMode::kParallel, 2);
  spec.evaluation_uri.clear();

  const auto plan = PlanJob(spec, 6, "j");

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(Lines(*plan),
            (std::vector<std::string>{"j/capture-0 [0,2) >boundary",
                                      "j/capture-1 [2,4) <j/capture-0 after j/capture-0 >boundary",
                                      "j/quantize-0 [0,2)", "j/quantize-1 [2,4) <j/capture-0 after j/capture-0",
                                      "j/quantize-2 [4,6) <j/capture-1 after j/capture-1",
                                      "j/finalize-0 [0,6) after j/quantize-0 after j/quantize-1 after j/quantize-2"}));
}

TEST(PlanJob, AuditsComeBehindWhatTheyAuditAndReadWhatItReadsAndFinalizeWaitsForEverything) {
  JobSpec spec = Spec(PropagationMode::kParallel, 2);
  spec.evaluation_uri.clear();

  const auto plan = PlanJob(spec, 4, "j", 1);

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(Lines(*plan), (std::vector<std::string>{"j/capture-0 [0,2) >boundary", "j/quantize-0 [0,2)",
                                                    "j/quantize-1 [2,4) <j/capture-0 after j/capture-0",
                                                    "j/audit-0 [0,2) after j/capture-0 >boundary",
                                                    "j/audit-1 [0,2) after j/quantize-0",
                                                    "j/audit-2 [2,4) <j/capture-0 after j/capture-0 after j/quantize-1",
                                                    "j/finalize-0 [0,4) after j/capture-0 after j/quantize-0 after "
                                                    "j/quantize-1 after j/audit-0 after j/audit-1 after "
                                                    "j/audit-2"}));
  EXPECT_EQ(AuditedBy(plan->tasks[5]), 2);
  EXPECT_EQ(AuditedBy(plan->tasks[2]), std::nullopt);
}

TEST(PlanJob, ParallelWithOneShardNeedsNoCapture) {
  const auto plan = PlanJob(Spec(PropagationMode::kParallel, 100), 8, "j");

  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->shard_layers, 8);
  EXPECT_EQ(plan->tasks[0].kind, TaskKind::kQuantize);
}

TEST(PlanJob, ParallelByDefaultMakesAtMostEightShards) {
  EXPECT_EQ(PlanJob(Spec(PropagationMode::kParallel, 0), 3, "j")->shard_layers, 1);
  EXPECT_EQ(PlanJob(Spec(PropagationMode::kParallel, 0), 30, "j")->shard_layers, 4);
  EXPECT_EQ(PlanJob(Spec(PropagationMode::kParallel, 0), 80, "j")->shard_layers, 10);
}

TEST(PlanJob, RefusesModelsWithoutLayersOrWithTooMany) {
  EXPECT_EQ(PlanJob(AJobSpec(), 0, "j").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(PlanJob(AJobSpec(), kMaxPlannedLayers + 1, "j").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(PlanJob(AJobSpec(), kMaxPlannedLayers, "j").ok());
}

// For every mode, size and shard size: what any plan must satisfy.
TEST(PlanJob, EveryPlanCoversEveryLayerOnceAndDependsOnEarlierTasksOnly) {
  for (PropagationMode mode : {PropagationMode::kSequential, PropagationMode::kParallel}) {
    for (int layers : {1, 2, 7, 30, kMaxPlannedLayers}) {
      for (int shard_layers : {0, 1, 2, 3, 512}) {
        const auto plan = PlanJob(Spec(mode, shard_layers), layers, "j");
        ASSERT_TRUE(plan.ok()) << plan.status();
        ASSERT_LE(plan->tasks.size(), static_cast<std::size_t>(kMaxTasksPerJob));
        std::vector<int> quantized(layers);
        std::set<std::string> ids;
        for (const TaskDescription& task : plan->tasks) {
          EXPECT_EQ(&task, &plan->tasks[task.index]);
          EXPECT_TRUE(ids.insert(task.task_id).second);
          EXPECT_EQ(task.input_boundary_of.has_value(), task.layers.begin != 0);
          for (int dependency : task.dependencies) EXPECT_LT(dependency, task.index);
          if (task.input_boundary_of) {
            EXPECT_EQ(plan->tasks[*task.input_boundary_of].layers.end, task.layers.begin);
            EXPECT_TRUE(plan->tasks[*task.input_boundary_of].output_boundary_wanted);
          }
          if (task.kind != TaskKind::kQuantize) continue;
          for (int layer = task.layers.begin; layer < task.layers.end; ++layer) ++quantized[layer];
        }
        EXPECT_EQ(quantized, std::vector<int>(layers, 1));
      }
    }
  }
}

}  // namespace
}  // namespace gptvq

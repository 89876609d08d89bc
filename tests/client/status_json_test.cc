#include "client/status_json.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli_page.h"
#include "tests/client/job_views.h"

namespace gptvq {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::IsSubsetOf;

constexpr char kSection[] = "JSON of `get`, `list`, `workers` and `submit`";

WorkerView AWorker() {
  WorkerView worker;
  worker.name = "worker-a";
  worker.numerics_class = "cpu-avx2";
  worker.version = "0.1.0";
  worker.slots = {"cpu:0", "cpu:1"};
  worker.leased_task_ids = {"job-0123456789abcdef/quantize-0"};
  worker.seconds_since_last_call = 3;
  return worker;
}

TEST(StatusJson, ItsKeysAreThoseOfTheCliPage) {
  const std::string section = CliPageSection(kSection);
  ASSERT_NE(section, "");

  const json job = json::parse(JobJson(ARunningJob(4, 0.5)));
  const json workers = json::parse(WorkersJson({AWorker()}));

  EXPECT_EQ(KeysOf(job), TableKeys(section));
  EXPECT_THAT(KeysOf(job["tasks"][0]), IsSubsetOf(Quoted(section)));
  EXPECT_THAT(KeysOf(workers[0]), IsSubsetOf(Quoted(section)));
}

TEST(StatusJson, JobShowsItsFields) {
  JobView job = ARunningJob(4, 0.5);
  job.committed_task_count = 1;
  job.task_count = 3;
  job.failure = "on worker a: no space";

  const json parsed = json::parse(JobJson(job));

  EXPECT_EQ(parsed["job_id"], "job-0123456789abcdef");
  EXPECT_EQ(parsed["state"], "running");
  EXPECT_EQ(parsed["preset"], "2d-3.125bpv");
  EXPECT_EQ(parsed["model"], "file:///models/tiny");
  EXPECT_EQ(parsed["output"], "file:///results/tiny");
  EXPECT_EQ(parsed["create_unix_seconds"], 1'700'000'000);
  EXPECT_EQ(parsed["layer_count"], 4);
  EXPECT_EQ(parsed["published_layers"], 2);
  EXPECT_EQ(parsed["shard_layers"], 4);
  EXPECT_EQ(parsed["task_count"], 3);
  EXPECT_EQ(parsed["committed_task_count"], 1);
  EXPECT_EQ(parsed["fraction"], 0.5);
  EXPECT_EQ(parsed["numerics_class"], "cpu-avx2");
  EXPECT_EQ(parsed["failure"], "on worker a: no space");
}

TEST(StatusJson, JobShowsTheMemoryThatADryRunTold) {
  JobView job = ARunningJob(4, 0);
  EXPECT_FALSE(json::parse(JobJson(job)).contains("memory"));

  job.memory = MemoryView{.gpu_device_bytes = 25'842'221'312, .gpu_host_bytes = 7, .cpu_host_bytes = 8};

  EXPECT_EQ(json::parse(JobJson(job))["memory"],
            (json{{"gpu_device_bytes", 25'842'221'312}, {"gpu_host_bytes", 7}, {"cpu_host_bytes", 8}}));
}

TEST(StatusJson, TaskShowsItsFields) {
  JobView job = ARunningJob(8, 0.25);
  job.tasks[0].layers = {2, 6};
  job.tasks[0].last_failure = "lost";

  const json task = json::parse(JobJson(job))["tasks"][0];

  EXPECT_EQ(task, json({{"task_id", "job-0123456789abcdef/quantize-0"},
                        {"kind", "quantize"},
                        {"state", "leased"},
                        {"layers", {2, 6}},
                        {"attempt", 2},
                        {"worker", "worker-a"},
                        {"fraction", 0.25},
                        {"last_failure", "lost"}}));
}

TEST(StatusJson, AuditShowsWhatItCameToOnceItHasEnded) {
  const std::string section = CliPageSection(kSection);
  JobView job = ARunningJob(8, 0.25);
  for (AuditOutcome outcome : kAllAuditOutcomes) job.tasks.push_back(AnEndedAudit({0, 8}, outcome));

  const json tasks = json::parse(JobJson(job))["tasks"];

  EXPECT_FALSE(tasks[0].contains("audit_outcome"));
  std::vector<std::string> outcomes;
  for (std::size_t i = 1; i < tasks.size(); ++i) outcomes.push_back(tasks[i]["audit_outcome"]);
  EXPECT_THAT(outcomes, ElementsAre("agreed", "upheld", "overturned", "skipped", "given_up", "undecided"));
  EXPECT_THAT(KeysOf(tasks[1]), IsSubsetOf(Quoted(section)));
  EXPECT_THAT(outcomes, IsSubsetOf(Quoted(section)));
}

TEST(StatusJson, ListIsAnArrayInTheOrderGiven) {
  std::vector<JobView> jobs(2);
  jobs[0].job_id = "job-b";
  jobs[1].job_id = "job-a";

  const json parsed = json::parse(JobsJson(jobs));

  ASSERT_EQ(parsed.size(), 2u);
  EXPECT_EQ(parsed[0]["job_id"], "job-b");
  EXPECT_EQ(parsed[1]["job_id"], "job-a");
  EXPECT_EQ(json::parse(JobsJson({})), json::array());
}

TEST(StatusJson, WorkersShowTheirFields) {
  WorkerView worker = AWorker();
  worker.devices = {{"cpu:1", DeviceCondition::kDrain, 3, "retired pages"}};

  EXPECT_EQ(json::parse(WorkersJson({worker})),
            json::array({{{"name", "worker-a"},
                          {"numerics_class", "cpu-avx2"},
                          {"version", "0.1.0"},
                          {"slots", {"cpu:0", "cpu:1"}},
                          {"leased_task_ids", {"job-0123456789abcdef/quantize-0"}},
                          {"seconds_since_last_call", 3.0},
                          {"trust", "trusted"},
                          {"trust_reason", ""},
                          {"quarantine_end_unix_seconds", 0},
                          {"devices", json::array({{{"slot", "cpu:1"},
                                                    {"condition", "drain"},
                                                    {"uncorrected_errors", 3},
                                                    {"detail", "retired pages"}}})}}}));
}

TEST(StatusJson, HostileTextIsOnlyText) {
  JobView job = ARunningJob(4, 0.5);
  job.failure = "\"}], \033[2J \xFF";

  EXPECT_EQ(json::parse(JobJson(job))["failure"], "\"}], \033[2J \xEF\xBF\xBD");
  EXPECT_EQ(JobJson(job).find('\033'), std::string::npos);
  EXPECT_EQ(JobJson(job).back(), '\n');
}

TEST(DoneFraction, WeighsLayersByWhatTheirTasksCost) {
  JobView job = ARunningJob(4, 0);
  TaskView capture = ALeasedTask({0, 4}, 1);
  capture.kind = TaskKind::kCapture;
  TaskView quantize = ALeasedTask({0, 4}, 0.5);
  TaskView finalize = ALeasedTask({0, 4}, 0);
  finalize.kind = TaskKind::kFinalize;
  job.tasks = {capture, quantize, finalize};

  EXPECT_DOUBLE_EQ(DoneFraction(job), (4.0 + 0.5 * 40) / (4 + 40 + 1));
}

TEST(DoneFraction, OfATaskIsWithinBoundsAndWholeWhenItIsCommitted) {
  TaskView task = ALeasedTask({0, 4}, 7);
  EXPECT_EQ(DoneFraction(task), 1);
  task.progress.fraction = -1;
  EXPECT_EQ(DoneFraction(task), 0);
  task.state = TaskState::kCommitted;
  EXPECT_EQ(DoneFraction(task), 1);
}

TEST(DoneFraction, OfAJobInAListIsTheShareOfItsPublishedLayers) {
  JobView job = ARunningJob(8, 0.25);
  job.tasks.clear();

  EXPECT_EQ(DoneFraction(job), 0.25);
  EXPECT_EQ(DoneFraction(JobView()), 0);
}

}  // namespace
}  // namespace gptvq

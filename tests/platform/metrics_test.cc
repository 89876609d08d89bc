#include "platform/metrics.h"

#include <algorithm>
#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/version.h"

namespace gptvq {
namespace {

using testing::HasSubstr;

TEST(MetricsRegistry, PrefixesNamesWithTheBinary) {
  MetricsRegistry registry("worker");

  registry.AddCounter("tasks_total", "Tasks by result.", {{"result", "succeeded"}}).Increment(2);
  registry.AddHistogram("task_seconds", "Time per task.", {1, 10}).Observe(3);

  const std::string text = registry.RenderText();
  EXPECT_THAT(text, HasSubstr("# HELP gptvq_worker_tasks_total Tasks by result."));
  EXPECT_THAT(text, HasSubstr("gptvq_worker_tasks_total{result=\"succeeded\"} 2"));
  EXPECT_THAT(text, HasSubstr("gptvq_worker_task_seconds_bucket{le=\"10\"} 1"));
}

TEST(MetricsRegistry, SameNameAndLabelsGiveTheSameMetric) {
  MetricsRegistry registry("worker");

  Counter& first = registry.AddCounter("retries_total", "Retries.");
  Counter& second = registry.AddCounter("retries_total", "Retries.");

  EXPECT_EQ(&first, &second);
}

TEST(MetricsRegistry, ReadsGaugesWhenScraped) {
  MetricsRegistry registry("worker");
  double value = 1;
  registry.AddGaugeReader("queue_length", "Waiting.", [&] { return value; });

  value = 42;

  EXPECT_THAT(registry.RenderText(), HasSubstr("gptvq_worker_queue_length 42"));
}

TEST(MetricsRegistry, ProcessMetricsNameTheBuildAndItsMemory) {
  MetricsRegistry registry("coordinator");

  registry.AddProcessMetrics();

  const std::string text = registry.RenderText();
  EXPECT_THAT(text, HasSubstr("gptvq_coordinator_build_info{version=\"" + std::string(Version()) + "\"} 1"));
  EXPECT_THAT(text, testing::Not(HasSubstr("gptvq_coordinator_resident_memory_bytes 0")));
  EXPECT_THAT(text, testing::ContainsRegex("gptvq_coordinator_start_time_seconds [1-9][0-9]{9}"));
  EXPECT_THAT(text,
              HasSubstr("# TYPE gptvq_coordinator_cpu_seconds_total counter\ngptvq_coordinator_cpu_seconds_total "));
}

TEST(MetricsRegistry, ATableShowsItsPresentRowsOnly) {
  MetricsRegistry registry("coordinator");
  GaugeTable& table = registry.AddGaugeTable("job_layers", "Layers.", {"job_id", "state"});
  EXPECT_THAT(registry.RenderText(), testing::Not(HasSubstr("job_layers")));

  table.Replace({{{"a", "running"}, 3}, {{"b", "pending"}, 5}});
  table.Replace({{{"b", "running"}, 7}});

  EXPECT_THAT(registry.RenderText(), HasSubstr("# TYPE gptvq_coordinator_job_layers gauge\n"
                                               "gptvq_coordinator_job_layers{job_id=\"b\",state=\"running\"} 7\n"));
  EXPECT_THAT(registry.RenderText(), testing::Not(HasSubstr("job_id=\"a\"")));
}

TEST(MetricsRegistry, DescribesWhatWasAddedWithTheValuesOfItsLabels) {
  MetricsRegistry registry("worker");
  registry.AddCounter("tasks_total", "Tasks.", {{"result", "failed"}});
  registry.AddCounter("tasks_total", "Tasks.", {{"result", "completed"}});
  registry.AddGaugeTable("slot_bytes", "Bytes.", {"slot"});
  registry.AddHistogram("task_seconds", "Time.", {1});

  const auto described = registry.Describe();

  ASSERT_EQ(described.size(), 3u);
  EXPECT_EQ(described.at("gptvq_worker_tasks_total").type, MetricType::kCounter);
  EXPECT_EQ(described.at("gptvq_worker_tasks_total").help, "Tasks.");
  EXPECT_THAT(described.at("gptvq_worker_tasks_total").label_values,
              testing::ElementsAre(testing::Pair("result", testing::ElementsAre("completed", "failed"))));
  EXPECT_THAT(described.at("gptvq_worker_slot_bytes").label_values,
              testing::ElementsAre(testing::Pair("slot", testing::IsEmpty())));
  EXPECT_EQ(described.at("gptvq_worker_task_seconds").type, MetricType::kHistogram);
}

TEST(MetricsRegistryDeathTest, RefusesNamesThatBreakTheRules) {
  MetricsRegistry registry("worker");

  EXPECT_DEATH(registry.AddCounter("tasks", "No _total."), "check failed");
  EXPECT_DEATH(registry.AddGauge("tasks_total", "Not a counter."), "check failed");
  EXPECT_DEATH(registry.AddGauge("Tasks-running", "Letters."), "check failed");
  EXPECT_DEATH(registry.AddGauge("tasks_running", ""), "check failed");
}

TEST(Buckets, RiseStrictly) {
  for (const auto& boundaries : {buckets::RpcSeconds(), buckets::TaskSeconds(), buckets::RelativeErrors()}) {
    EXPECT_TRUE(std::adjacent_find(boundaries.begin(), boundaries.end(), std::greater_equal<>()) == boundaries.end());
  }
}

}  // namespace
}  // namespace gptvq

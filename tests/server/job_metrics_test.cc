#include "server/job_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/server/scheduler/scheduler_harness.h"

namespace gptvq {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

// A scheduler and what its jobs show.
class JobMetricsTest : public testing::Test {
 protected:
  std::string Shown() {
    metrics_.Show(harness_.scheduler, harness_.now);
    return registry_.RenderText();
  }

  PublishedLayer Publish(const Lease& lease, int layer) {
    PublishedLayer published = {layer, DigestOf("layer " + std::to_string(layer)), {}};
    for (const char* name : {"self_attn.q_proj", "mlp.down_proj"}) {
      published.linears.push_back(ALinearReport("model.layers." + std::to_string(layer) + "." + name));
    }
    EXPECT_TRUE(harness_.Do(PublishLayer{lease, published}).ok());
    return published;
  }

  SchedulerHarness harness_;
  MetricsRegistry registry_{"coordinator"};
  JobMetrics metrics_{registry_};
};

JobSpec ASpecWithoutEvaluation() {
  JobSpec spec = AJobSpec();
  spec.evaluation_uri.clear();
  return spec;
}

TEST_F(JobMetricsTest, AWaitingJobSaysWhatItIs) {
  harness_.Submit(AJobSpec(), 2);

  const std::string text = Shown();

  EXPECT_THAT(
      text, HasSubstr("job_info{job_id=\"job-1\",model=\"tiny\",preset=\"2d-3.125bpv\",propagation=\"sequential\"} 1"));
  EXPECT_THAT(text, HasSubstr("job_state{job_id=\"job-1\",state=\"pending\"} 1"));
  EXPECT_THAT(text, HasSubstr("job_layers{job_id=\"job-1\"} 2"));
  EXPECT_THAT(text, HasSubstr("job_progress_ratio{job_id=\"job-1\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("job_eta_seconds{")));
  EXPECT_THAT(text, Not(HasSubstr("job_bits_per_value{")));
}

TEST_F(JobMetricsTest, ALayerShowsItsErrorsAndTheBitsSoFar) {
  harness_.Submit(AJobSpec(), 2);
  const Lease lease = harness_.Poll(harness_.Register("a"));

  metrics_.AddLayer("job-1", Publish(lease, 0));

  const std::string text = Shown();
  EXPECT_THAT(text, HasSubstr("job_published_layers{job_id=\"job-1\"} 1"));
  EXPECT_THAT(text, HasSubstr("job_held_tasks{job_id=\"job-1\"} 1"));
  EXPECT_THAT(text, HasSubstr("relative_error{job_id=\"job-1\",layer=\"000\",role=\"down\"} 0.0125"));
  EXPECT_THAT(text, HasSubstr("relative_error{job_id=\"job-1\",layer=\"000\",role=\"q\"} 0.0125"));
  // (49152 + 2048 + 16 + 1024 + 8) bits for 16384 weights, as ALinearReport says
  EXPECT_THAT(text, HasSubstr("job_bits_per_value{job_id=\"job-1\"} 3.18896484375"));
}

TEST_F(JobMetricsTest, LayersReadBackTakeThePlaceOfThoseKnownBefore) {
  harness_.Submit(AJobSpec(), 2);
  const Lease lease = harness_.Poll(harness_.Register("a"));
  const PublishedLayer first = Publish(lease, 0);
  metrics_.AddLayer("job-1", first);

  metrics_.ReplaceLayers("job-1", {first, Publish(lease, 1)});

  const std::string text = Shown();
  EXPECT_THAT(text, HasSubstr("relative_error{job_id=\"job-1\",layer=\"000\",role=\"q\"} 0.0125"));
  EXPECT_THAT(text, HasSubstr("relative_error{job_id=\"job-1\",layer=\"001\",role=\"q\"} 0.0125"));
  EXPECT_EQ(text.find("layer=\"000\",role=\"q\""), text.rfind("layer=\"000\",role=\"q\""));  // no series twice
  EXPECT_THAT(text, HasSubstr("job_bits_per_value{job_id=\"job-1\"} 3.18896484375"));
}

TEST_F(JobMetricsTest, ProgressAndPaceComeFromHeartbeats) {
  harness_.Submit(ASpecWithoutEvaluation(), 2);  // 20 of 21 parts of the work are to quantize
  const Lease lease = harness_.Poll(harness_.Register("a"));
  ASSERT_TRUE(harness_.Do(RenewLease{lease, {.counter = 1, .fraction = 0.21, .layer = 0, .step = "s"}}).ok());
  EXPECT_THAT(Shown(), HasSubstr("job_progress_ratio{job_id=\"job-1\"} 0.2\n"));

  harness_.Advance(seconds(10));
  ASSERT_TRUE(harness_.Do(RenewLease{lease, {.counter = 2, .fraction = 0.42, .layer = 0, .step = "s"}}).ok());

  EXPECT_THAT(Shown(), HasSubstr("job_progress_ratio{job_id=\"job-1\"} 0.4\n"));
  EXPECT_THAT(Shown(), HasSubstr("job_eta_seconds{job_id=\"job-1\"} 30\n"));
}

TEST_F(JobMetricsTest, ALostAttemptKeepsTheProgressOfItsLayers) {
  harness_.Submit(ASpecWithoutEvaluation(), 2);
  const Lease lease = harness_.Poll(harness_.Register("a"));
  Publish(lease, 0);

  ASSERT_TRUE(harness_.Do(ReleaseTask{lease}).ok());

  EXPECT_THAT(Shown(), HasSubstr("job_held_tasks{job_id=\"job-1\"} 0\n"));
  EXPECT_THAT(Shown(), testing::ContainsRegex("job_progress_ratio.job_id=\"job-1\". 0\\.476190"));  // 10 of 21
}

TEST_F(JobMetricsTest, AnEndedJobIsShownForAWhileOnly) {
  harness_.Submit(AJobSpec(), 2);
  ASSERT_TRUE(harness_.Do(CancelJob{"job-1"}).ok());

  harness_.now.wall += minutes(4);
  EXPECT_THAT(Shown(), HasSubstr("job_state{job_id=\"job-1\",state=\"cancelled\"} 1"));
  EXPECT_THAT(Shown(), HasSubstr("job_end_time_seconds{job_id=\"job-1\"}"));

  harness_.now.wall += minutes(2);
  EXPECT_THAT(Shown(), Not(HasSubstr("job_id=")));
}

TEST_F(JobMetricsTest, OnlySoManyJobsAreShownAndTheRestIsCounted) {
  const std::size_t count = kMaxShownJobs + 3;
  for (std::size_t i = 0; i < count; ++i) harness_.Submit(AJobSpec(), 2, "job-" + std::to_string(100 + i));

  const std::string text = Shown();

  EXPECT_THAT(text, HasSubstr("gptvq_coordinator_jobs_hidden 3\n"));
  EXPECT_THAT(text, HasSubstr("job_layers{job_id=\"job-115\"}"));
  EXPECT_THAT(text, Not(HasSubstr("job_id=\"job-116\"")));
}

TEST_F(JobMetricsTest, AnyModelUriMakesAPlainLabel) {
  JobSpec spec = AJobSpec();
  spec.model_uri = "file:///models/Größe-" + std::string(100, 'x') + "/";
  harness_.Submit(spec, 2);

  EXPECT_THAT(Shown(), HasSubstr("model=\"Gr????e-" + std::string(64 - 8, 'x') + "\""));
}

}  // namespace
}  // namespace gptvq

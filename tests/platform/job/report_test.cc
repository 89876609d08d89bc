#include "platform/job/report.h"

#include <gtest/gtest.h>

#include "tests/support/job_builders.h"

namespace gptvq {
namespace {

using std::chrono::seconds;

JobSnapshot AJobWithResults() {
  JobSnapshot job;
  job.description.job_id = "job-1";
  job.description.spec = AJobSpec();
  job.description.create_time = WallTime(seconds(100));
  job.status.numerics_class = "cpu-ref/k1";
  const auto add = [&](TaskKind kind, std::optional<EvaluationTarget> target, std::optional<TaskResult> result) {
    Task& task = job.tasks.emplace_back();
    task.description.kind = kind;
    task.description.target = target;
    task.status.result = std::move(result);
  };
  add(TaskKind::kQuantize, {}, TaskResult{{{TaskPhase::kLoad, 1}, {TaskPhase::kQuantize, 4}}, QuantizeResult{}});
  add(TaskKind::kQuantize, {}, TaskResult{{{TaskPhase::kQuantize, 6}}, QuantizeResult{}});
  add(TaskKind::kFinalize, {}, TaskResult{{}, FinalizeResult{999, DigestOf("manifest")}});
  add(TaskKind::kEvaluate, EvaluationTarget::kSource, TaskResult{{}, EvaluateResult{20, 64}});
  add(TaskKind::kEvaluate, EvaluationTarget::kQuantized, std::nullopt);
  return job;
}

TEST(AssembleReport, SumsPhasesOverTasksAndBitsOverLinears) {
  const std::vector<PublishedLayer> layers = {{0, DigestOf("0"), {ALinearReport("a"), ALinearReport("b")}},
                                              {1, DigestOf("1"), {ALinearReport("c")}}};
  const BitCount one = ALinearReport("a").bits;

  const Report report = AssembleReport(AJobWithResults(), layers, WallTime(seconds(160)));

  EXPECT_EQ(report.seconds, (std::vector<TaskPhaseSeconds>{{TaskPhase::kLoad, 1}, {TaskPhase::kQuantize, 10}}));
  EXPECT_EQ(report.bits.weights, 3 * one.weights);
  EXPECT_EQ(report.bits.total_bits(), 3 * one.total_bits());
  ASSERT_EQ(report.linears.size(), 3u);
  EXPECT_EQ(report.linears[2].name, "c");
  EXPECT_EQ(report.output_bytes, 999u);
  EXPECT_EQ(report.manifest, DigestOf("manifest"));
}

TEST(AssembleReport, LeavesOutWhatIsNotKnownYet) {
  const Report report = AssembleReport(AJobWithResults(), {}, WallTime(seconds(160)));

  EXPECT_EQ(report.source_perplexity, 20);
  EXPECT_EQ(report.quantized_perplexity, std::nullopt);
  EXPECT_EQ(report.evaluated_tokens, 64);
  EXPECT_EQ(report.bits.weights, 0);
}

TEST(AssembleReport, CountsTheAuditsThatEndedByOutcome) {
  JobSnapshot job = AJobWithResults();
  const std::vector<std::optional<AuditOutcome>> outcomes = {AuditOutcome::kSkipped, AuditOutcome::kAgreed,
                                                             std::nullopt, AuditOutcome::kAgreed};
  for (const std::optional<AuditOutcome>& outcome : outcomes) {
    Task& audit = job.tasks.emplace_back();
    audit.description.kind = TaskKind::kAudit;
    audit.status.audit.outcome = outcome;
  }

  const Report report = AssembleReport(job, {}, WallTime(seconds(160)));

  EXPECT_EQ(report.audits, (AuditCounts{{AuditOutcome::kAgreed, 2}, {AuditOutcome::kSkipped, 1}}));
}

TEST(AssembleReport, MeasuresWallTimeToTheEndOrToNowAndNeverBelowZero) {
  JobSnapshot job = AJobWithResults();
  EXPECT_EQ(AssembleReport(job, {}, WallTime(seconds(160))).wall_time, seconds(60));
  EXPECT_EQ(AssembleReport(job, {}, WallTime(seconds(40))).wall_time, seconds(0));

  job.status.end_time = WallTime(seconds(130));
  EXPECT_EQ(AssembleReport(job, {}, WallTime(seconds(160))).wall_time, seconds(30));
}

}  // namespace
}  // namespace gptvq

#include "platform/rpc/convert_task.h"

#include <gtest/gtest.h>

#include <limits>

#include "platform/job/error_reason.h"
#include "platform/rpc/convert_report.h"
#include "platform/rpc/record_codec.h"
#include "tests/support/job_builders.h"

namespace gptvq {
namespace {

std::vector<TaskResult> AResultOfEveryKind() {
  const std::vector<TaskPhaseSeconds> seconds = {{TaskPhase::kLoad, 1.5}, {TaskPhase::kEvaluate, 0.25}};
  return {{seconds, CaptureResult{DigestOf("boundary")}},
          {seconds, QuantizeResult{DigestOf("boundary")}},
          {{}, QuantizeResult{}},
          {seconds, FinalizeResult{123456789, DigestOf("manifest")}},
          {seconds, EvaluateResult{17.25, 4096}}};
}

TaskGrant AGrant() {
  TaskGrant grant;
  grant.lease = {"job-0123456789abcdef/quantize-1", 4, "worker-a", "00112233445566778899aabbccddeeff", "token"};
  grant.ttl = std::chrono::milliseconds(30500);
  grant.kind = TaskKind::kQuantize;
  grant.attempt = 2;
  grant.job_id = "job-0123456789abcdef";
  grant.spec = AJobSpec();
  grant.layer_count = 30;
  grant.layers = {10, 20};
  grant.input_boundary = DigestOf("boundary");
  grant.output_boundary_wanted = true;
  grant.published_layers = {{10, DigestOf("ten"), {}},
                            {11, DigestOf("eleven"), {ALinearReport("q"), ALinearReport("k")}}};
  grant.checkpoint = TaskCheckpoint{12, 3, DigestOf("q of twelve"), {ALinearReport("q")}};
  return grant;
}

TEST(ConvertTask, ResultsOfEveryKindSurviveTheWireAndTheJournal) {
  for (const TaskResult& result : AResultOfEveryKind()) {
    const auto wire = FromProto(ToProto(result));
    const auto journal = DecodeTaskResult(EncodeTaskResult(result));

    ASSERT_TRUE(wire.ok()) << wire.status();
    EXPECT_EQ(*wire, result);
    ASSERT_TRUE(journal.ok()) << journal.status();
    EXPECT_EQ(*journal, result);
  }
}

TEST(ConvertTask, AGrantSurvivesTheWire) {
  const TaskGrant grant = AGrant();

  const auto back = FromProto(ToProto(grant));

  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->lease, grant.lease);
  EXPECT_EQ(back->ttl, grant.ttl);
  EXPECT_EQ(back->kind, grant.kind);
  EXPECT_EQ(back->attempt, grant.attempt);
  EXPECT_EQ(back->job_id, grant.job_id);
  EXPECT_EQ(back->spec, grant.spec);
  EXPECT_EQ(back->layer_count, grant.layer_count);
  EXPECT_EQ(back->layers, grant.layers);
  EXPECT_EQ(back->input_boundary, grant.input_boundary);
  EXPECT_TRUE(back->output_boundary_wanted);
  EXPECT_EQ(back->target, std::nullopt);
  ASSERT_EQ(back->published_layers.size(), 2u);
  EXPECT_EQ(back->published_layers[1].layer, 11);
  EXPECT_EQ(back->published_layers[1].artifact, DigestOf("eleven"));
  EXPECT_EQ(back->published_layers[1].linears.size(), 2u);
  EXPECT_EQ(back->checkpoint, grant.checkpoint);
}

TEST(ConvertTask, ACheckpointSurvivesTheJournalAndNamesWhatIsWrongWithIt) {
  const TaskCheckpoint checkpoint = *AGrant().checkpoint;
  EXPECT_EQ(*DecodeTaskCheckpoint(EncodeTaskCheckpoint(checkpoint)), checkpoint);
  const auto message = [&](const TaskCheckpoint& wrong) {
    return std::string(FromProto(ToProto(wrong)).status().message());
  };

  TaskCheckpoint wrong = checkpoint;
  wrong.layer = -1;
  EXPECT_NE(message(wrong).find("checkpoint.layer"), std::string::npos);
  wrong = checkpoint;
  wrong.sequence = 0;
  EXPECT_NE(message(wrong).find("checkpoint.sequence"), std::string::npos);
  wrong.linears.clear();
  wrong.sequence = 1;
  EXPECT_NE(message(wrong).find("checkpoint.linears"), std::string::npos);
  wrong.linears = std::vector<LinearReport>(65, checkpoint.linears.front());
  EXPECT_NE(message(wrong).find("checkpoint.linears"), std::string::npos);
}

TEST(ConvertTask, FailedAttemptsSurviveTheJournal) {
  const std::vector<FailedAttempt> attempts = {{"a", FailureClass::kTransient, false, true, false},
                                               {"b", FailureClass::kInfra, true, false, true}};

  EXPECT_EQ(*DecodeFailedAttempts(EncodeFailedAttempts(attempts)), attempts);
}

TEST(ConvertTask, AnEvaluateGrantNamesItsTarget) {
  for (EvaluationTarget target : {EvaluationTarget::kSource, EvaluationTarget::kQuantized}) {
    TaskGrant grant = AGrant();
    grant.kind = TaskKind::kEvaluate;
    grant.target = target;

    EXPECT_EQ(FromProto(ToProto(grant))->target, target);
  }
  v1::TaskGrant without = ToProto(AGrant());
  without.set_kind(v1::TASK_KIND_EVALUATE);
  EXPECT_EQ(FromProto(without).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ConvertTask, ALinearReportSurvivesTheWireInEveryField) {
  const LinearReport report = ALinearReport("model.layers.0.self_attn.q_proj");

  const auto back = FromProto(ToProto(report));

  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->name, report.name);
  EXPECT_EQ(back->rows, report.rows);
  EXPECT_EQ(back->cols, report.cols);
  EXPECT_EQ(back->bits, report.bits);
  EXPECT_EQ(back->relative_error, report.relative_error);
  EXPECT_EQ(back->sweep_relative_error, report.sweep_relative_error);
  EXPECT_EQ(back->damping, report.damping);
  EXPECT_EQ(back->hessian_policy, report.hessian_policy);
  EXPECT_EQ(back->dead_columns, report.dead_columns);
  EXPECT_EQ(back->em_iterations, report.em_iterations);
  EXPECT_EQ(back->update_iterations, report.update_iterations);
  EXPECT_EQ(back->refinement_passes, report.refinement_passes);
  EXPECT_EQ(back->seconds.factor, report.seconds.factor);
  EXPECT_EQ(back->seconds.clustering, report.seconds.clustering);
  EXPECT_EQ(back->seconds.sweep, report.seconds.sweep);
  EXPECT_EQ(back->seconds.update, report.seconds.update);
  EXPECT_EQ(back->seconds.refinement, report.seconds.refinement);
}

TEST(ConvertTask, MetricsThatAreNotFiniteOrNegativeAreRefused) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  v1::LinearReport not_finite = ToProto(ALinearReport("q"));
  not_finite.set_relative_error(nan);
  v1::LinearReport negative = ToProto(ALinearReport("q"));
  negative.mutable_bits()->set_index_bits(-1);
  v1::LinearReport nameless = ToProto(ALinearReport(""));

  EXPECT_EQ(ReasonOf(FromProto(not_finite).status()), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOf(FromProto(negative).status()), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOf(FromProto(nameless).status()), ErrorReason::kInvalidField);
}

TEST(ConvertTask, ResultsThatCannotBeAreRefused) {
  const auto code_of = [](const v1::TaskResult& proto) { return FromProto(proto).status().code(); };
  v1::TaskResult empty;
  v1::TaskResult infinite = ToProto(TaskResult{{}, EvaluateResult{2, 1}});
  infinite.mutable_evaluate()->set_perplexity(std::numeric_limits<double>::infinity());
  v1::TaskResult no_tokens = ToProto(TaskResult{{}, EvaluateResult{2, 1}});
  no_tokens.mutable_evaluate()->set_token_count(0);
  v1::TaskResult upper_case = ToProto(TaskResult{{}, CaptureResult{DigestOf("x")}});
  upper_case.mutable_capture()->mutable_output_boundary()->mutable_digest()->set_sha256_hex(std::string(64, 'A'));
  v1::TaskResult twice = ToProto(TaskResult{{{TaskPhase::kLoad, 1}, {TaskPhase::kLoad, 2}}, QuantizeResult{}});

  EXPECT_EQ(code_of(empty), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of(infinite), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of(no_tokens), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of(upper_case), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code_of(twice), absl::StatusCode::kInvalidArgument);
}

TEST(ConvertTask, ProgressOutsideZeroToOneIsRefused) {
  const TaskProgress progress = {.counter = 9, .fraction = 0.5, .layer = 3, .step = "calibrate"};
  v1::TaskProgress nan = ToProto(progress);
  nan.set_fraction(std::numeric_limits<double>::quiet_NaN());
  v1::TaskProgress above = ToProto(progress);
  above.set_fraction(1.5);

  EXPECT_EQ(*FromProto(ToProto(progress)), progress);
  EXPECT_FALSE(FromProto(nan).ok());
  EXPECT_FALSE(FromProto(above).ok());
}

TEST(ConvertTask, FailuresOfNewerPeersAreTakenAsTransientAndCut) {
  v1::TaskFailure proto;
  proto.set_failure_class(static_cast<v1::FailureClass>(77));
  proto.set_message(std::string(100'000, 'm'));

  const TaskFailure failure = FromProto(proto);

  EXPECT_EQ(failure.failure_class, FailureClass::kTransient);
  EXPECT_EQ(failure.message.size(), kMaxFailureMessageBytes);
}

TEST(ConvertTask, ALeaseWithoutHolderOrEpochIsRefused) {
  const Lease lease = AGrant().lease;
  v1::Lease no_epoch = ToProto(lease);
  no_epoch.set_epoch(0);
  v1::Lease no_holder = ToProto(lease);
  no_holder.clear_incarnation();
  v1::Lease no_task = ToProto(lease);
  no_task.clear_task_id();

  EXPECT_EQ(*FromProto(ToProto(lease)), lease);
  EXPECT_FALSE(FromProto(no_epoch).ok());
  EXPECT_FALSE(FromProto(no_holder).ok());
  EXPECT_FALSE(FromProto(no_task).ok());
}

}  // namespace
}  // namespace gptvq

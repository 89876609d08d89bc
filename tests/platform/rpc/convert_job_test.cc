#include "platform/rpc/convert_job.h"

#include <gtest/gtest.h>

#include "platform/job/error_reason.h"
#include "platform/rpc/convert_report.h"
#include "platform/rpc/convert_time.h"
#include "platform/rpc/record_codec.h"
#include "tests/support/job_builders.h"

namespace gptvq {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ConvertJob, EventsOfEveryKindSurviveTheWireAndTheJournal) {
  const WallTime time = WallTime(seconds(1'700'000'000) + microseconds(123'456));
  const TaskFailure failure = {FailureClass::kDevice, "ECC error", "worker-b"};
  const std::vector<JobEvent> events = {
      {1, time, JobStateChange{JobState::kPending, JobState::kRunning}},
      {2, time,
       TaskStateChange{"j/quantize-0", TaskState::kLeased, TaskState::kReady, TaskTrigger::kRetry, 3, "w", failure}},
      {3, time,
       TaskStateChange{"j/quantize-0", TaskState::kReady, TaskState::kLeased, TaskTrigger::kGrant, 4, "w", {}}},
      {4, time, LayerPublished{"j/quantize-0", 5, DigestOf("layer")}}};

  for (const JobEvent& event : events) {
    EXPECT_EQ(*FromProto(ToProto(event)), event) << event.seq;
    EXPECT_EQ(*DecodeJobEvent(EncodeJobEvent(event)), event) << event.seq;
  }
}

TEST(ConvertJob, EveryTriggerAndStateSurvivesTheWire) {
  for (TaskTrigger trigger : kAllTaskTriggers) {
    for (TaskState state : kAllTaskStates) {
      const JobEvent event = {1, WallTime(), TaskStateChange{"t", state, state, trigger, 1, "", {}}};
      EXPECT_EQ(*FromProto(ToProto(event)), event);
    }
  }
  for (JobState state : kAllJobStates) {
    const JobEvent event = {1, WallTime(), JobStateChange{state, state}};
    EXPECT_EQ(*FromProto(ToProto(event)), event);
  }
}

TEST(ConvertJob, TransientEventsAreNotTakenForDurableOnes) {
  v1::JobEvent progress;
  progress.mutable_task_progress()->set_task_id("t");
  v1::JobEvent unknown_trigger =
      ToProto(JobEvent{1, WallTime(), TaskStateChange{"t", TaskState::kReady, TaskState::kLeased, {}, 1, "", {}}});
  unknown_trigger.mutable_task_state()->set_trigger("teleport");

  EXPECT_FALSE(FromProto(progress).ok());
  EXPECT_FALSE(FromProto(v1::JobEvent()).ok());
  EXPECT_FALSE(FromProto(unknown_trigger).ok());
}

TEST(ConvertJob, APublishedLayerSurvivesTheJournal) {
  const PublishedLayer layer = {3, DigestOf("layer"), {ALinearReport("q"), ALinearReport("k")}};

  const auto back = DecodePublishedLayer(EncodePublishedLayer(layer));

  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->layer, 3);
  EXPECT_EQ(back->artifact, layer.artifact);
  ASSERT_EQ(back->linears.size(), 2u);
  EXPECT_EQ(back->linears[1].name, "k");
}

TEST(ConvertJob, ShowsPublishedLayersProgressAndFailureOfATask) {
  JobSnapshot job;
  job.description = {.job_id = "job-1",
                     .sequence = 1,
                     .request_id = "r",
                     .spec = AJobSpec(),
                     .layer_count = 4,
                     .shard_layers = 2,
                     .task_count = 2,
                     .create_time = WallTime(seconds(5))};
  job.status.state = JobState::kFailed;
  job.status.end_time = WallTime(seconds(9));
  job.status.failure = TaskFailure{FailureClass::kFatal, "bad", "w"};
  job.layers = {DigestOf("0"), Digest(), DigestOf("2"), DigestOf("3")};
  for (int shard = 0; shard < 2; ++shard) {
    Task task;
    task.description.task_id = "t" + std::to_string(shard);
    task.description.layers = {2 * shard, 2 * shard + 2};
    job.tasks.push_back(task);
  }
  job.tasks[1].status.last_failure = job.status.failure;

  const v1::Job full =
      ToProto(job, {{"t1", {.counter = 4, .fraction = 0.75, .layer = 3, .step = "s"}}}, JobDetail::kFull);
  const v1::Job summary = ToProto(job, {}, JobDetail::kSummary);

  ASSERT_EQ(full.tasks_size(), 2);
  EXPECT_EQ(full.tasks(0).published_layers(), 1);
  EXPECT_FALSE(full.tasks(0).has_progress());
  EXPECT_EQ(full.tasks(1).published_layers(), 2);
  EXPECT_EQ(full.tasks(1).progress().fraction(), 0.75);
  EXPECT_EQ(full.tasks(1).last_failure().message(), "bad");
  EXPECT_EQ(full.failure().failure_class(), v1::FAILURE_CLASS_FATAL);
  EXPECT_EQ(full.end_time().seconds(), 9);
  EXPECT_EQ(summary.tasks_size(), 0);
  EXPECT_EQ(summary.task_count(), 2);
}

TEST(ConvertReport, ShowsWhatIsKnownAndLeavesTheRestAbsent) {
  Report report;
  report.job_id = "job-1";
  report.spec = AJobSpec();
  const v1::Report early = ToProto(report);
  report.bits = {.weights = 100, .index_bits = 200};
  report.manifest = DigestOf("manifest");
  report.seconds = {{TaskPhase::kQuantize, 2.5}};
  report.source_perplexity = 10.5;
  report.quantized_perplexity = 11.25;
  report.evaluated_tokens = 512;
  report.linears = {ALinearReport("q")};
  const v1::Report late = ToProto(report);

  EXPECT_FALSE(early.has_bits_per_value());
  EXPECT_FALSE(early.has_perplexity());
  EXPECT_EQ(early.manifest_sha256_hex(), "");
  EXPECT_EQ(late.bits_per_value(), 2.0);
  EXPECT_EQ(late.manifest_sha256_hex(), DigestOf("manifest").hex());
  EXPECT_EQ(late.seconds(0).phase(), v1::TASK_PHASE_QUANTIZE);
  EXPECT_EQ(late.perplexity().source(), 10.5);
  EXPECT_EQ(late.perplexity().quantized(), 11.25);
  EXPECT_EQ(late.perplexity().token_count(), 512);
  EXPECT_EQ(late.linears_size(), 1);
}

TEST(ConvertReport, AReportSurvivesTheWire) {
  Report report;
  report.job_id = "job-0123456789abcdef";
  report.state = JobState::kSucceeded;
  report.spec.model_uri = "file:///m";
  report.spec.calibration_uris = {"file:///c"};
  report.spec.output_uri = "file:///o";
  report.spec.preset = "2d-3.125bpv";
  report.bits = {.weights = 100, .index_bits = 300, .codebook_bits = 12};
  report.output_bytes = 123;
  report.manifest = DigestOf("manifest");
  report.seconds = {{TaskPhase::kForward, 1.5}, {TaskPhase::kQuantize, 20}};
  report.wall_time = milliseconds(12'345);
  report.source_perplexity = 10.5;
  report.quantized_perplexity = 11.25;
  report.evaluated_tokens = 4096;
  report.linears = {ALinearReport("q"), ALinearReport("k")};
  report.numerics_class = "cpu/1";
  report.audits = {{AuditOutcome::kAgreed, 3}, {AuditOutcome::kUndecided, 1}};

  const absl::StatusOr<Report> back = FromProto(ToProto(report));

  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->spec, report.spec);
  EXPECT_EQ(back->bits, report.bits);
  EXPECT_EQ(back->manifest->hex(), report.manifest->hex());
  EXPECT_EQ(back->audits, report.audits);
  EXPECT_EQ(ToProto(*back).SerializeAsString(), ToProto(report).SerializeAsString());
}

TEST(ConvertReport, ACountOfAuditsThatIsNotPositiveIsRefused) {
  Report report;
  report.spec = AJobSpec();
  v1::Report proto = ToProto(report);
  v1::AuditCount& audits = *proto.add_audits();
  audits.set_outcome(v1::AUDIT_OUTCOME_AGREED);
  audits.set_count(1);
  ASSERT_TRUE(FromProto(proto).ok()) << FromProto(proto).status();

  for (const int count : {0, -1}) {
    audits.set_count(count);
    const absl::Status status = FromProto(proto).status();
    EXPECT_EQ(ReasonOf(status), ErrorReason::kInvalidField) << count;
    EXPECT_NE(status.message().find("audits.count"), std::string::npos) << status;
  }
}

TEST(ConvertTime, DurationsAndDatesSurviveTheWire) {
  for (const milliseconds duration :
       {milliseconds(0), milliseconds(1), milliseconds(-2500), milliseconds(90'061'001)}) {
    EXPECT_EQ(FromProto(ToProto(duration)), duration);
  }
  for (const microseconds since_epoch : {microseconds(0), microseconds(1'700'000'000'123'456), microseconds(-1)}) {
    EXPECT_EQ(FromProto(ToProto(WallTime(since_epoch))), WallTime(since_epoch));
  }
}

TEST(ConvertTime, TheYearTenThousandDoesNotOverflow) {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(253'402'300'800);
  google::protobuf::Duration duration;
  duration.set_seconds(std::numeric_limits<std::int64_t>::max());

  EXPECT_GT(FromProto(timestamp), WallTime());
  EXPECT_GT(FromProto(duration), milliseconds(0));
}

}  // namespace
}  // namespace gptvq

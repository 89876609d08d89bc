#include "client/commands/job_commands.h"

#include <filesystem>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/fake_job_service.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Every look at it is a second later.
class TickingClock final : public MonotonicClock {
 public:
  double NowSeconds() const override { return now_ += 1; }

 private:
  mutable double now_ = 0;
};

// The client in front of a coordinator, with a state directory of its own.
struct JobCommands : testing::Test {
  JobCommands() {
    submit.job.model = "file:///models/tiny";
    submit.job.calibration = {"file:///text/a.txt"};
    submit.job.output = "file:///results/tiny";
    submit.state_dir = state.path();
  }

  ExitCode Submit() { return SubmitJob(client, submit, clock, terminal); }
  bool KeepsAnId() const { return !std::filesystem::is_empty(state.path()); }

  TemporaryDirectory state;
  FakeJobService coordinator;
  SystemClock system_clock;
  JobClient client{{.address = "the test", .repetition = {.at_most = std::chrono::milliseconds(0)}},
                   coordinator.Channel(),
                   system_clock};
  SubmitOptions submit;
  TickingClock clock;
  std::ostringstream out, err;
  Terminal terminal{out, err};
};

TEST_F(JobCommands, SubmitPrintsTheJobIdAloneAndForgetsTheRequest) {
  EXPECT_EQ(Submit(), ExitCode::kOk);

  EXPECT_EQ(out.str(), "job-0123456789abcdef\n");
  EXPECT_EQ(err.str(), "");
  ASSERT_EQ(coordinator.submits.size(), 1u);
  EXPECT_EQ(coordinator.submits[0].spec().model_uri(), "file:///models/tiny");
  EXPECT_FALSE(coordinator.submits[0].validate_only());
  EXPECT_FALSE(KeepsAnId());
}

TEST_F(JobCommands, SubmitTellsWhatIsOddAboutTheModelBesideTheJobId) {
  coordinator.job.mutable_spec()->set_model_uri("file:///models/tiny");
  coordinator.warnings = {"a tensor too many"};

  EXPECT_EQ(Submit(), ExitCode::kOk);

  EXPECT_EQ(out.str(), "job-0123456789abcdef\n");
  EXPECT_EQ(err.str(), "warning: file:///models/tiny: a tensor too many\n");
}

TEST_F(JobCommands, RepeatedSubmitNamesTheSameRequestUntilItIsAnswered) {
  coordinator.refusal = grpc::Status(grpc::StatusCode::INTERNAL, "the connection broke");
  EXPECT_EQ(Submit(), ExitCode::kInternal);
  EXPECT_TRUE(KeepsAnId());
  coordinator.refusal = grpc::Status::OK;

  EXPECT_EQ(Submit(), ExitCode::kOk);
  EXPECT_EQ(Submit(), ExitCode::kOk);

  ASSERT_EQ(coordinator.submits.size(), 3u);
  EXPECT_EQ(coordinator.submits[1].request_id(), coordinator.submits[0].request_id());
  EXPECT_NE(coordinator.submits[2].request_id(), coordinator.submits[1].request_id());
}

TEST_F(JobCommands, DryRunShowsThePlanAndLeavesAnUnansweredRequestAlone) {
  coordinator.refusal = grpc::Status(grpc::StatusCode::INTERNAL, "the connection broke");
  Submit();
  coordinator.refusal = grpc::Status::OK;
  coordinator.memory.set_gpu_device_bytes(25'840'000'000);
  coordinator.memory.set_gpu_host_bytes(7'500'000'000);
  coordinator.memory.set_cpu_host_bytes(60'000'000'000);
  submit.mode = SubmitMode::kDryRun;
  EXPECT_EQ(Submit(), ExitCode::kOk);
  submit.mode = SubmitMode::kAccept;

  EXPECT_EQ(Submit(), ExitCode::kOk);

  EXPECT_THAT(out.str(), HasSubstr("layers       4\nshard layers 2\ntasks        5\n"
                                   "memory       on a GPU 25.8 GB of the device and 7.5 GB of the host, on the CPU "
                                   "60.0 GB\n"));
  EXPECT_THAT(err.str(), HasSubstr("nothing was started"));
  ASSERT_EQ(coordinator.submits.size(), 3u);
  EXPECT_TRUE(coordinator.submits[1].validate_only());
  EXPECT_EQ(coordinator.submits[2].request_id(), coordinator.submits[0].request_id());
}

TEST_F(JobCommands, RefusalIsAnAnswerToo) {
  coordinator.refusal = grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "model of kind 'x' is not supported");

  EXPECT_EQ(Submit(), ExitCode::kInvalidInput);

  EXPECT_FALSE(KeepsAnId());
  EXPECT_EQ(out.str(), "");
  EXPECT_EQ(err.str(), "error: model of kind 'x' is not supported\n");
}

TEST_F(JobCommands, WrongRequestIdIsAUsageErrorAndNothingIsSent) {
  submit.request_id = "my-job";

  EXPECT_EQ(Submit(), ExitCode::kUsage);

  EXPECT_THAT(err.str(), HasSubstr("--request-id 'my-job'"));
  EXPECT_THAT(coordinator.submits, IsEmpty());
}

TEST_F(JobCommands, WrongFlagIsAUsageErrorAndNothingIsSent) {
  submit.job.spec.seeding = "random";

  EXPECT_EQ(Submit(), ExitCode::kUsage);

  EXPECT_THAT(err.str(), HasSubstr("--seeding is 'random'"));
  EXPECT_THAT(coordinator.submits, IsEmpty());
  EXPECT_FALSE(KeepsAnId());
}

TEST_F(JobCommands, StateDirectoryThatCanNotBeWrittenStopsBeforeTheSubmit) {
  state.WriteFile("file", "");
  submit.state_dir = state.Join("file");

  EXPECT_EQ(Submit(), ExitCode::kInvalidInput);

  EXPECT_THAT(err.str(), HasSubstr("--state-dir"));
  EXPECT_THAT(coordinator.submits, IsEmpty());
}

TEST_F(JobCommands, SubmitPrintsTheJobAsJsonWhenAsked) {
  submit.output = OutputFormat::kJson;

  EXPECT_EQ(Submit(), ExitCode::kOk);

  EXPECT_EQ(nlohmann::json::parse(out.str())["layer_count"], 4);
}

TEST_F(JobCommands, WaitTellsByItsCodeHowTheJobEnded) {
  coordinator.job.mutable_failure()->set_message("no space\033[2J");
  coordinator.job.mutable_failure()->set_worker_name("a");
  for (const auto& [state, code] :
       {std::pair(v1::JOB_STATE_SUCCEEDED, ExitCode::kOk), std::pair(v1::JOB_STATE_FAILED, ExitCode::kJobFailed),
        std::pair(v1::JOB_STATE_CANCELLED, ExitCode::kCancelled)}) {
    coordinator.job.set_state(state);

    EXPECT_EQ(WaitForJob(client, "job-0123456789abcdef", std::nullopt, clock, terminal), code);
  }
  EXPECT_THAT(err.str(), HasSubstr("failed: on worker a: no space?[2J\n"));
  EXPECT_EQ(out.str(), "");
}

TEST_F(JobCommands, WaitGivesUpWhenItsTimeIsUp) {
  coordinator.job.set_state(v1::JOB_STATE_RUNNING);

  EXPECT_EQ(WaitForJob(client, "job-0123456789abcdef", 1.0, clock, terminal), ExitCode::kTimeout);

  EXPECT_THAT(err.str(), HasSubstr("is still running; it goes on"));
}

TEST_F(JobCommands, WaitGivesUpInTimeWhenNobodyAnswers) {
  coordinator.refusal = grpc::Status(grpc::StatusCode::UNAVAILABLE, "away");

  EXPECT_EQ(WaitForJob(client, "job-0123456789abcdef", 1.0, clock, terminal), ExitCode::kTimeout);
  EXPECT_EQ(WaitForJob(client, "job-0123456789abcdef", std::nullopt, clock, terminal), ExitCode::kUnreachable);

  EXPECT_THAT(err.str(), HasSubstr("job job-0123456789abcdef: no answer from the coordinator at the test (away)"));
}

TEST_F(JobCommands, WatchTellsOfASilenceOnALineOfItsOwnAndGoesOn) {
  Terminal animated{out, err, Liveliness::kAnimated};
  JobClient patient({.address = "the test", .repetition = {.pauses = {.first = std::chrono::milliseconds(1)}}},
                    coordinator.Channel(), system_clock);
  coordinator.first_watch_ends = {grpc::Status(grpc::StatusCode::UNAVAILABLE, "away")};
  coordinator.job.set_state(v1::JOB_STATE_RUNNING);

  EXPECT_EQ(WatchJob(patient, "job-0123456789abcdef", clock, animated), ExitCode::kOk);

  EXPECT_THAT(err.str(),
              HasSubstr("\nno answer from the coordinator at the test (away); trying again for up to 1 min 0 s\n"));
}

TEST_F(JobCommands, WatchAppliesEventsToTheSnapshot) {
  coordinator.job.set_state(v1::JOB_STATE_RUNNING);
  v1::JobEvent published, ended;
  published.mutable_layer_published();
  ended.mutable_job_state()->set_to(v1::JOB_STATE_FAILED);
  coordinator.events = {published, published, ended};
  coordinator.watch_end = grpc::Status(grpc::StatusCode::NOT_FOUND, "gone");  // so that the last word is the stream's

  EXPECT_EQ(WatchJob(client, "job-0123456789abcdef", clock, terminal), ExitCode::kNotFound);

  EXPECT_THAT(err.str(), HasSubstr("running: 0 of 4 layers"));
  EXPECT_THAT(err.str(), HasSubstr("failed: 2 of 4 layers"));
}

void AddAudit(v1::Job& job, v1::AuditOutcome outcome, const std::string& worker) {
  v1::Task* audit = job.add_tasks();
  audit->set_task_id("job-0123456789abcdef/audit-" + std::to_string(job.tasks_size()));
  audit->set_kind(v1::TASK_KIND_AUDIT);
  audit->set_state(v1::TASK_STATE_COMMITTED);
  audit->mutable_layers()->set_end(4);
  audit->set_worker_name(worker);
  audit->set_audit_outcome(outcome);
}

TEST_F(JobCommands, AJobIsShownWithWhatItsAuditsCameTo) {
  AddAudit(coordinator.job, v1::AUDIT_OUTCOME_OVERTURNED, "worker-b");
  AddAudit(coordinator.job, v1::AUDIT_OUTCOME_SKIPPED, "");
  AddAudit(coordinator.job, v1::AUDIT_OUTCOME_UNSPECIFIED, "worker-of-old");
  AddAudit(coordinator.job, static_cast<v1::AuditOutcome>(99), "worker-of-new");

  EXPECT_EQ(ShowJob(client, "job-0123456789abcdef", OutputFormat::kText, terminal), ExitCode::kOk);

  for (const char* line :
       {"  100 % worker-b: overturned\n", "  100 % skipped\n", "  100 % worker-of-old\n", "  100 % worker-of-new\n"}) {
    EXPECT_THAT(out.str(), HasSubstr(line));
  }
}

TEST_F(JobCommands, AJobIsShownWithWhereItsTasksAreAndWhyTheyFailedLast) {
  v1::Task* const leased = coordinator.job.add_tasks();
  leased->set_kind(v1::TASK_KIND_QUANTIZE);
  leased->set_state(v1::TASK_STATE_LEASED);
  leased->set_worker_name("worker-b");
  leased->mutable_progress()->set_layer(7);
  leased->mutable_progress()->set_step("mlp.up_proj");
  leased->mutable_last_failure()->set_worker_name("worker-a");
  leased->mutable_last_failure()->set_message("the store\ndoes not answer");

  EXPECT_EQ(ShowJob(client, "job-0123456789abcdef", OutputFormat::kText, terminal), ExitCode::kOk);

  EXPECT_THAT(out.str(), EndsWith(" worker-b: layer 7 mlp.up_proj\n"
                                  "          last failure: on worker worker-a: the store?does not answer\n"));
}

TEST_F(JobCommands, WatchEndsWithWhatTheAuditsCameTo) {
  coordinator.job.set_state(v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(WatchJob(client, "job-0123456789abcdef", clock, terminal), ExitCode::kOk);
  EXPECT_THAT(err.str(), Not(HasSubstr("audits")));
  for (v1::AuditOutcome outcome : {v1::AUDIT_OUTCOME_SKIPPED, v1::AUDIT_OUTCOME_AGREED, v1::AUDIT_OUTCOME_AGREED}) {
    AddAudit(coordinator.job, outcome, "worker-b");
  }

  EXPECT_EQ(WatchJob(client, "job-0123456789abcdef", clock, terminal), ExitCode::kOk);

  EXPECT_THAT(err.str(), EndsWith("\naudits: 2 agreed, 1 skipped\n"));
  EXPECT_EQ(out.str(), "");
}

TEST_F(JobCommands, WatchThatBreaksLeavesTheErrorOnALineOfItsOwn) {
  Terminal animated{out, err, Liveliness::kAnimated};
  coordinator.watch_end = grpc::Status(grpc::StatusCode::NOT_FOUND, "no such job");

  EXPECT_EQ(WatchJob(client, "job-0123456789abcdef", clock, animated), ExitCode::kNotFound);

  EXPECT_THAT(err.str(), HasSubstr("\nerror: no such job\n"));
}

}  // namespace
}  // namespace gptvq

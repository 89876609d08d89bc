#include "server/job_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/planner.h"
#include "tests/server/job_calls.h"

namespace gptvq {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> WarningsOf(Service& service, const v1::SubmitJobRequest& request) {
  v1::SubmitJobResponse response;
  const absl::Status status = service.Call(*service.jobs, &JobStub::SubmitJob, request, response);
  EXPECT_TRUE(status.ok()) << status;
  return {response.warnings().begin(), response.warnings().end()};
}

TEST(SubmitJobCall, AcceptsAJobAndShowsItsPlan) {
  Service service;

  const auto job = Submit(service);

  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->job_id(), JobIdFor(kRequestId));
  EXPECT_EQ(job->state(), v1::JOB_STATE_PENDING);
  EXPECT_EQ(job->layer_count(), 2);
  EXPECT_EQ(job->tasks_size(), 4);
  EXPECT_EQ(*FromProto(job->spec()), AJobSpec());
  EXPECT_EQ(service.probe.last_uri, AJobSpec().model_uri);
}

TEST(SubmitJobCall, AgainAnswersTheSameJobEvenIfTheModelIsGone) {
  Service service;
  const auto first = Submit(service);
  service.probe.answer = absl::NotFoundError("config.json is gone");

  const auto again = Submit(service);

  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->job_id(), first->job_id());
  EXPECT_EQ(service.coordinator.store().ListJobs({})->size(), 1u);
}

TEST(SubmitJobCall, TheSameRequestIdForAnotherSpecIsRefused) {
  Service service;
  ASSERT_TRUE(Submit(service).ok());
  JobSpec other = AJobSpec();
  other.seed += 1;

  const absl::Status status = Submit(service, ASubmitRequest(other)).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(status), ErrorReason::kIdempotencyMismatch);
}

TEST(SubmitJobCall, ADryRunPlansAndAcceptsNothing) {
  Service service;
  v1::SubmitJobRequest request = ASubmitRequest();
  request.clear_request_id();
  request.set_validate_only(true);

  const auto job = Submit(service, request);

  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->job_id(), "");
  EXPECT_EQ(job->tasks_size(), 4);
  EXPECT_EQ(job->task_count(), 4);
  EXPECT_TRUE(service.coordinator.store().ListJobs({})->empty());
}

TEST(SubmitJobCall, ADryRunTellsTheMemoryThatASlotNeeds) {
  Service service;
  service.probe.answer->config.hidden_size = 8192;
  service.probe.answer->config.intermediate_size = 28672;
  v1::SubmitJobRequest request = ASubmitRequest();
  request.set_validate_only(true);
  v1::SubmitJobResponse response;

  const absl::Status status = service.Call(*service.jobs, &JobStub::SubmitJob, request, response);

  ASSERT_TRUE(status.ok()) << status;
  EXPECT_GT(response.memory().gpu_device_bytes(), 3 * 4 * 28672ull * 28672) << "Hessian, factor and feedback";
  EXPECT_GT(response.memory().gpu_host_bytes(), 0u);
  EXPECT_GT(response.memory().cpu_host_bytes(), response.memory().gpu_device_bytes());
}

TEST(SubmitJobCall, OdditiesOfTheModelAreToldOnceAndInEveryDryRun) {
  Service service;
  service.probe.answer = ModelSummary{.layer_count = 2, .warnings = {"a tensor too many"}};
  v1::SubmitJobRequest dry_run = ASubmitRequest();
  dry_run.set_validate_only(true);

  EXPECT_THAT(WarningsOf(service, dry_run), ElementsAre("a tensor too many"));
  EXPECT_THAT(WarningsOf(service, dry_run), ElementsAre("a tensor too many"));
  EXPECT_THAT(WarningsOf(service, ASubmitRequest()), ElementsAre("a tensor too many"));
  EXPECT_THAT(WarningsOf(service, ASubmitRequest()), IsEmpty()) << "of a repetition nothing is looked at";
}

TEST(SubmitJobCall, RequestIdsThatAreNoUuidsAreRefused) {
  Service service;
  for (const std::string& id :
       {std::string(), std::string("1"), std::string(1024, 'a'), kRequestId + "0",
        std::string("0F8FAD5B-D9CB-469F-A165-70867728950E"), std::string("0f8fad5bxd9cb-469f-a165-70867728950e")}) {
    const absl::Status status = Submit(service, ASubmitRequest(AJobSpec(), id)).status();
    EXPECT_EQ(ReasonOf(status), ErrorReason::kInvalidField) << id;
    EXPECT_NE(status.message().find("request_id"), std::string::npos);
  }
}

TEST(SubmitJobCall, UrisThatNoStoreTakesAreRefusedByField) {
  Service service;
  for (const char* uri : {"s3://B_ad/model", "file:///a/../b", "file:///a//b", "file:///a?x=1", "file:///a%2e"}) {
    JobSpec spec = AJobSpec();
    spec.evaluation_uri = uri;
    const absl::Status status = Submit(service, ASubmitRequest(spec)).status();
    EXPECT_EQ(ReasonOf(status), ErrorReason::kInvalidField) << uri;
    EXPECT_NE(status.message().find("evaluation_uri"), std::string::npos) << status;
  }
}

TEST(SubmitJobCall, AnUnusableModelIsAPreconditionAndAnAbsentStorageIsNot) {
  Service service;
  service.probe.answer = absl::InvalidArgumentError("architecture X is not supported");
  const absl::Status unsupported = Submit(service).status();
  service.probe.answer = ModelSummary{.layer_count = kMaxPlannedLayers + 1};
  const absl::Status too_deep = Submit(service).status();
  service.probe.answer = absl::UnavailableError("storage does not answer");
  const absl::Status away = Submit(service).status();

  EXPECT_EQ(ReasonOf(unsupported), ErrorReason::kModelUnusable);
  EXPECT_NE(unsupported.message().find("architecture X"), std::string::npos);
  EXPECT_EQ(ReasonOf(too_deep), ErrorReason::kModelUnusable);
  EXPECT_EQ(away.code(), absl::StatusCode::kUnavailable);
}

TEST(SubmitJobCall, AWidthThatVectorsDoNotDivideIsRefusedAndNamed) {
  Service service;
  ModelSummary narrow{.layer_count = 2};
  narrow.config.intermediate_size = 31;
  service.probe.answer = narrow;
  const absl::Status vectors = Submit(service).status();
  JobSpec uniform = AJobSpec();
  uniform.quant.method = QuantMethod::kRtn;

  EXPECT_EQ(ReasonOf(vectors), ErrorReason::kModelUnusable);
  EXPECT_NE(vectors.message().find("mlp.down_proj has 31 columns"), std::string::npos) << vectors;
  EXPECT_TRUE(Submit(service, ASubmitRequest(uniform)).ok());
}

TEST(SubmitJobCall, PlacesThatCanNotBeUsedAreRefusedByField) {
  Service service;
  service.probe.answer = absl::NotFoundError("/m: No such file or directory");
  const absl::Status model = Submit(service).status();
  service.probe.answer = ModelSummary{.layer_count = 2};
  service.probe.text_answer = absl::NotFoundError("/t: No such file or directory");
  const absl::Status text = Submit(service).status();
  service.probe.text_answer = absl::FailedPreconditionError("/t: is a directory, not a file");
  const absl::Status no_file = Submit(service).status();
  service.probe.text_answer = absl::OkStatus();
  service.probe.output_answer = absl::FailedPreconditionError("/o: is a file, where a directory is needed");
  const absl::Status output = Submit(service).status();

  EXPECT_EQ(ReasonOf(model), ErrorReason::kInputMissing);
  EXPECT_NE(model.message().find("model file:"), std::string::npos) << model;
  EXPECT_EQ(ReasonOf(text), ErrorReason::kInputMissing);
  EXPECT_NE(text.message().find("calibration_uris: /t"), std::string::npos) << text;
  EXPECT_EQ(ReasonOf(no_file), ErrorReason::kInvalidField);
  EXPECT_EQ(ReasonOf(output), ErrorReason::kInvalidField);
  EXPECT_NE(output.message().find("output_uri: /o: is a file"), std::string::npos) << output;
  EXPECT_TRUE(service.coordinator.store().ListJobs({})->empty());
}

TEST(SubmitJobCall, MessagesBeyondTheControlLimitAreRefusedAndTheConnectionLives) {
  Service service;
  v1::SubmitJobRequest request = ASubmitRequest();
  request.mutable_spec()->set_model_uri("file:///" + std::string(1'100'000, 'x'));

  EXPECT_EQ(Submit(service, request).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Submit(service).ok());
}

TEST(GetJobCall, KnowsActiveEndedAndUnknownJobs) {
  ServiceOptions options;
  options.coordinator.scheduler.retained_jobs = 0;  // ended jobs are in the journal only
  Service service(options);
  const std::string job_id = Submit(service)->job_id();

  EXPECT_EQ(Get(service, job_id)->state(), v1::JOB_STATE_PENDING);
  EXPECT_EQ(Cancel(service, job_id)->state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(Get(service, job_id)->state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(Cancel(service, job_id)->state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(Submit(service)->state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(ReasonOf(Get(service, "job-none").status()), ErrorReason::kJobUnknown);
  EXPECT_EQ(ReasonOf(Cancel(service, "job-none").status()), ErrorReason::kJobUnknown);
}

TEST(GetJobCall, ShowsTheProgressThatTheHolderReports) {
  Service service;
  const std::string job_id = Submit(service)->job_id();
  TestWorker worker(service);
  const v1::TaskGrant grant = worker.Poll();
  ASSERT_TRUE(worker.Renew(grant.lease(), 5).ok());

  const auto job = Get(service, job_id);

  EXPECT_EQ(job->state(), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(job->numerics_class(), "cpu-ref/k1");
  EXPECT_EQ(job->tasks(0).progress().step(), "calibrate");
  EXPECT_EQ(job->tasks(0).worker_name(), "worker-a");
  EXPECT_EQ(job->tasks(0).epoch(), 1);
}

TEST(ListJobsCall, PagesNewestFirstWithTokensThatCannotBeMadeUp) {
  Service service;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Submit(service, ASubmitRequest(AJobSpec(), RequestId(i))).ok());
  ASSERT_TRUE(Cancel(service, JobIdFor(RequestId(1))).ok());
  v1::ListJobsRequest request;
  request.set_page_size(2);
  std::vector<std::string> ids;
  do {
    v1::ListJobsResponse response;
    ASSERT_TRUE(service.Call(*service.jobs, &JobStub::ListJobs, request, response).ok());
    EXPECT_LE(response.jobs_size(), 2);
    for (const v1::Job& job : response.jobs()) {
      ids.push_back(job.job_id());
      EXPECT_EQ(job.tasks_size(), 0);
      EXPECT_EQ(job.task_count(), 4);
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());

  EXPECT_EQ(ids, (std::vector<std::string>{JobIdFor(RequestId(4)), JobIdFor(RequestId(3)), JobIdFor(RequestId(2)),
                                           JobIdFor(RequestId(1)), JobIdFor(RequestId(0))}));
  v1::ListJobsResponse response;
  request.set_page_token("3-0123456789abcdef");
  EXPECT_EQ(ReasonOf(service.Call(*service.jobs, &JobStub::ListJobs, request, response)), ErrorReason::kInvalidField);
  request.clear_page_token();
  request.set_page_size(-1);
  EXPECT_EQ(ReasonOf(service.Call(*service.jobs, &JobStub::ListJobs, request, response)), ErrorReason::kInvalidField);
  request.set_page_size(0);
  request.add_states(v1::JOB_STATE_CANCELLED);
  ASSERT_TRUE(service.Call(*service.jobs, &JobStub::ListJobs, request, response).ok());
  EXPECT_EQ(response.jobs_size(), 1);
  request.add_states(v1::JOB_STATE_UNSPECIFIED);
  EXPECT_EQ(ReasonOf(service.Call(*service.jobs, &JobStub::ListJobs, request, response)), ErrorReason::kInvalidField);
}

TEST(GetReportCall, HoldsWhatIsKnownSoFar) {
  Service service;
  const std::string job_id = Submit(service)->job_id();
  TestWorker worker(service);
  const v1::TaskGrant grant = worker.Poll();
  ASSERT_TRUE(worker.PublishLayer(grant.lease(), 0, "packed layer 0").ok());
  v1::GetReportRequest request;
  request.set_job_id(job_id);
  v1::GetReportResponse response;

  ASSERT_TRUE(service.Call(*service.jobs, &JobStub::GetReport, request, response).ok());

  EXPECT_EQ(response.report().linears_size(), 1);
  EXPECT_EQ(response.report().bits().weights(), ALinearReport("q").bits.weights);
  EXPECT_EQ(response.report().bits_per_value(), ALinearReport("q").bits.bits_per_value());
  EXPECT_EQ(response.report().output_bytes(), 0u);
  request.set_job_id("job-none");
  EXPECT_EQ(ReasonOf(service.Call(*service.jobs, &JobStub::GetReport, request, response)), ErrorReason::kJobUnknown);
}

TEST(ListWorkersCall, ShowsWhoCalledAndWhatTheyHold) {
  Service service;
  ASSERT_TRUE(Submit(service).ok());
  TestWorker a(service, "worker-a");
  TestWorker b(service, "worker-b");
  const v1::TaskGrant grant = b.Poll();
  service.clock.Advance(std::chrono::seconds(3));
  v1::ListWorkersResponse response;

  ASSERT_TRUE(service.Call(*service.jobs, &JobStub::ListWorkers, v1::ListWorkersRequest(), response).ok());

  ASSERT_EQ(response.workers_size(), 2);
  EXPECT_EQ(response.workers(0).name(), "worker-a");
  EXPECT_EQ(response.workers(0).leased_task_ids_size(), 0);
  EXPECT_EQ(response.workers(1).leased_task_ids(0), grant.lease().task_id());
  EXPECT_EQ(response.workers(1).slots(0).name(), "cpu:0");
  EXPECT_EQ(response.workers(1).numerics_class(), "cpu-ref/k1");
  EXPECT_EQ(response.workers(1).since_last_call().seconds(), 3);
}

TEST(ReleaseWorkerCall, EndsAQuarantineThatListWorkersShows) {
  Service service;
  TestWorker good(service, "worker-good");
  TestWorker bad(service, "worker-bad");
  for (int i = 0; i < 3; ++i) {  // jobs that can be worked on
    ASSERT_TRUE(Submit(service, ASubmitRequest(AJobSpec(), RequestId(i))).ok());
    const v1::Lease lease = good.Poll().lease();
    ASSERT_TRUE(good.PublishLayer(lease, 0, "packed layer 0").ok());
    ASSERT_TRUE(good.Release(lease).ok());
    ASSERT_TRUE(bad.Fail(bad.Poll().lease(), v1::FAILURE_CLASS_TRANSIENT, "bad disk").ok());
    good.Poll();  // takes what failed away
  }
  v1::ListWorkersResponse listed;
  v1::ReleaseWorkerRequest request;
  request.set_worker_name("worker-bad");
  v1::ReleaseWorkerResponse released;
  v1::ReleaseWorkerResponse again;

  ASSERT_TRUE(service.Call(*service.jobs, &JobStub::ListWorkers, v1::ListWorkersRequest(), listed).ok());
  ASSERT_TRUE(service.Call(*service.jobs, &JobStub::ReleaseWorker, request, released).ok());
  ASSERT_TRUE(service.Call(*service.jobs, &JobStub::ReleaseWorker, request, again).ok());

  EXPECT_EQ(listed.workers(0).name(), "worker-bad");
  EXPECT_EQ(listed.workers(0).record().trust(), v1::WORKER_TRUST_QUARANTINED);
  EXPECT_THAT(listed.workers(0).record().reason(), testing::HasSubstr("failed 3 tasks in a row"));
  EXPECT_FALSE(listed.workers(1).has_record());
  EXPECT_EQ(released.outcome(), v1::ReleaseWorkerResponse::OUTCOME_RELEASED);
  EXPECT_EQ(again.outcome(), v1::ReleaseWorkerResponse::OUTCOME_NOTHING_TO_RELEASE);
  request.clear_worker_name();
  EXPECT_EQ(ReasonOf(service.Call(*service.jobs, &JobStub::ReleaseWorker, request, again)), ErrorReason::kInvalidField);
}

TEST(GetCapabilitiesCall, AnswersTheLimits) {
  Service service;
  v1::GetCapabilitiesResponse response;

  ASSERT_TRUE(service.Call(*service.jobs, &JobStub::GetCapabilities, v1::GetCapabilitiesRequest(), response).ok());

  EXPECT_EQ(response.protocol_version(), "1.1");
  EXPECT_EQ(response.max_chunk_bytes(), 1 << 20);
  EXPECT_EQ(response.max_layers(), 512);
  EXPECT_EQ(response.lease_ttl().seconds(), 30);
  EXPECT_FALSE(response.version().empty());
  EXPECT_THAT(response.uri_schemes(), ElementsAre("file", "s3"));
}

}  // namespace
}  // namespace gptvq

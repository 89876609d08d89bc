#include "server/worker_service.h"

#include <gtest/gtest.h>

#include <functional>

#include "google/protobuf/descriptor.h"
#include "tests/server/service_fixture.h"

namespace gptvq {
namespace {

using WorkerStub = v1::WorkerService::Stub;

TEST(RegisterWorkerCall, AnswersStoreAndPeriods) {
  Service service;
  v1::RegisterWorkerResponse response;

  ASSERT_TRUE(service.Call(*service.workers, &WorkerStub::RegisterWorker, ARegistration(), response).ok());

  EXPECT_EQ(response.artifact_store_uri(), "file:///store");
  EXPECT_EQ(response.lease_ttl().seconds(), 30);
  EXPECT_EQ(response.heartbeat_period().seconds(), 10);
  EXPECT_EQ(response.max_chunk_bytes(), 1 << 20);
}

TEST(RegisterWorkerCall, RefusesWhatItCannotUnderstand) {
  Service service;
  const auto refuses = [&](const std::function<void(v1::RegisterWorkerRequest&)>& spoil) {
    v1::RegisterWorkerRequest request = ARegistration();
    spoil(request);
    v1::RegisterWorkerResponse response;
    return ReasonOf(service.Call(*service.workers, &WorkerStub::RegisterWorker, request, response));
  };

  EXPECT_EQ(refuses([](auto& r) { r.set_protocol_version("2.0"); }), ErrorReason::kUpgradeRequired);
  EXPECT_EQ(refuses([](auto& r) { r.clear_protocol_version(); }), ErrorReason::kUpgradeRequired);
  EXPECT_EQ(refuses([](auto& r) { r.set_protocol_version("1.99"); }), std::nullopt);
  EXPECT_EQ(refuses([](auto& r) { r.set_worker_name(""); }), ErrorReason::kInvalidField);
  EXPECT_EQ(refuses([](auto& r) { r.set_worker_name("-x"); }), ErrorReason::kInvalidField);
  EXPECT_EQ(refuses([](auto& r) { r.set_worker_name("a b"); }), ErrorReason::kInvalidField);
  EXPECT_EQ(refuses([](auto& r) { r.set_worker_name(std::string(129, 'a')); }), ErrorReason::kInvalidField);
  EXPECT_EQ(refuses([](auto& r) { r.set_incarnation("1"); }), ErrorReason::kInvalidField);
  EXPECT_EQ(refuses([](auto& r) { r.set_incarnation(std::string(32, 'G')); }), ErrorReason::kInvalidField);
  EXPECT_EQ(refuses([](auto& r) { r.set_numerics_class(""); }), ErrorReason::kInvalidField);
  EXPECT_EQ(refuses([](auto& r) { r.set_version(std::string(65, '1')); }), ErrorReason::kInvalidField);
  EXPECT_EQ(refuses([](auto& r) { r.clear_slots(); }), ErrorReason::kInvalidField);
  EXPECT_EQ(refuses([](auto& r) { r.mutable_slots(0)->clear_name(); }), ErrorReason::kInvalidField);
}

TEST(LeaseTaskCall, UnregisteredWorkersAndBadPollIdsAreRefused) {
  Service service;
  v1::LeaseTaskResponse response;
  EXPECT_EQ(ReasonOf(service.Call(*service.workers, &WorkerStub::LeaseTask, APoll("p"), response)),
            ErrorReason::kWorkerUnknown);
  for (const std::string& id : {std::string(), std::string("a b"), std::string(65, 'a')}) {
    EXPECT_EQ(ReasonOf(service.Call(*service.workers, &WorkerStub::LeaseTask, APoll(id), response)),
              ErrorReason::kInvalidField);
  }
  v1::LeaseTaskRequest backwards = APoll("p");
  backwards.mutable_wait()->set_seconds(-5);
  EXPECT_EQ(ReasonOf(service.Call(*service.workers, &WorkerStub::LeaseTask, backwards, response)),
            ErrorReason::kInvalidField);
}

TEST(LeaseTaskCall, AGrantHoldsEverythingTheTaskNeedsAndRepeatsForTheSamePoll) {
  Service service;
  const std::string job_id = SubmitTo(service);
  TestWorker worker(service);
  v1::LeaseTaskResponse first;
  v1::LeaseTaskResponse again;

  ASSERT_TRUE(service.Call(*service.workers, &WorkerStub::LeaseTask, APoll("p"), first).ok());
  ASSERT_TRUE(service.Call(*service.workers, &WorkerStub::LeaseTask, APoll("p"), again).ok());

  const auto grant = FromProto(first.grant());
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->job_id, job_id);
  EXPECT_EQ(grant->kind, TaskKind::kQuantize);
  JobSpec planned = AJobSpec();
  planned.shard_layers = 2;  // the coordinator's choice is stated in grants
  EXPECT_EQ(grant->spec, planned);
  EXPECT_EQ(grant->layers, (LayerRange{0, 2}));
  EXPECT_EQ(grant->layer_count, 2);
  EXPECT_EQ(grant->attempt, 1);
  EXPECT_EQ(grant->ttl, std::chrono::milliseconds(30'000));
  EXPECT_TRUE(service.seal.IsGenuine(grant->lease));
  EXPECT_EQ(again.grant().SerializeAsString(), first.grant().SerializeAsString());
}

TEST(LeaseTaskCall, WithoutWorkAnswersEmptyAndSaysWhenToComeBack) {
  Service service;
  TestWorker worker(service);
  v1::LeaseTaskResponse response;

  ASSERT_TRUE(service.Call(*service.workers, &WorkerStub::LeaseTask, APoll("p"), response).ok());

  EXPECT_FALSE(response.has_grant());
  EXPECT_GT(response.retry_after().seconds(), 0);
}

TEST(LeaseTaskCall, ANewAttemptIsToldWhichLayersArePublished) {
  Service service;
  SubmitTo(service);
  TestWorker worker(service);
  const v1::TaskGrant first = worker.Poll();
  ASSERT_TRUE(worker.PublishLayer(first.lease(), 0, "packed layer 0").ok());
  ASSERT_TRUE(worker.Release(first.lease()).ok());

  const v1::TaskGrant second = worker.Poll();

  EXPECT_EQ(second.lease().epoch(), 2);
  EXPECT_EQ(second.attempt(), 2);
  ASSERT_EQ(second.published_layers_size(), 1);
  EXPECT_EQ(*FromProto(second.published_layers(0).artifact()), DigestOf("packed layer 0"));
}

TEST(CheckpointTaskCall, KeepsWhatIsStoredForTheNextAttempt) {
  Service service;
  SubmitTo(service);
  TestWorker worker(service);
  const v1::TaskGrant first = worker.Poll();
  v1::CheckpointTaskRequest request;
  *request.mutable_lease() = first.lease();
  *request.mutable_checkpoint() =
      ToProto(TaskCheckpoint{0, 1, DigestOf("q of layer 0"), {ALinearReport("model.layers.0.q")}});
  v1::CheckpointTaskResponse response;
  const auto keep = [&] { return service.Call(*service.workers, &WorkerStub::CheckpointTask, request, response); };

  EXPECT_EQ(ReasonOf(keep()), ErrorReason::kOutputMissing);
  ASSERT_TRUE(service.artifacts.PutArtifact(AsBytes("q of layer 0")).ok());
  EXPECT_EQ(keep(), absl::OkStatus());
  EXPECT_EQ(response.acceptance(), v1::CheckpointTaskResponse::ACCEPTANCE_KEPT);
  EXPECT_EQ(keep(), absl::OkStatus());
  EXPECT_EQ(response.acceptance(), v1::CheckpointTaskResponse::ACCEPTANCE_ALREADY_KEPT);
  ASSERT_TRUE(worker.Release(first.lease()).ok());
  const v1::TaskGrant second = worker.Poll();
  EXPECT_EQ(second.checkpoint().SerializeAsString(), request.checkpoint().SerializeAsString());

  request.mutable_checkpoint()->set_sequence(0);
  EXPECT_EQ(ReasonOf(keep()), ErrorReason::kInvalidField);
  request.mutable_checkpoint()->set_sequence(2);
  request.mutable_checkpoint()->clear_linears();
  EXPECT_EQ(ReasonOf(keep()), ErrorReason::kInvalidField);
}

TEST(WholeJob, RunsThroughBothServicesToTheReport) {
  Service service;
  JobSpec spec = AJobSpec();
  spec.shard_layers = 1;
  const std::string job_id = SubmitTo(service, spec);
  TestWorker worker(service);
  const Digest boundary = *service.artifacts.PutArtifact(AsBytes("boundary"));

  const v1::TaskGrant shard0 = worker.Poll();
  EXPECT_TRUE(shard0.output_boundary_wanted());
  EXPECT_FALSE(shard0.has_input_boundary());
  ASSERT_TRUE(worker.PublishLayer(shard0.lease(), 0, "packed layer 0").ok());
  const auto committed = worker.Complete(shard0.lease(), {{{TaskPhase::kQuantize, 4}}, QuantizeResult{boundary}});
  ASSERT_TRUE(committed.ok()) << committed.status();
  EXPECT_EQ(committed->acceptance(), v1::CompleteTaskResponse::ACCEPTANCE_COMMITTED);
  EXPECT_EQ(worker.Complete(shard0.lease(), {{{TaskPhase::kQuantize, 4}}, QuantizeResult{boundary}})->acceptance(),
            v1::CompleteTaskResponse::ACCEPTANCE_ALREADY_COMMITTED);

  const v1::TaskGrant shard1 = worker.Poll();
  EXPECT_EQ(*FromProto(shard1.input_boundary()), boundary);
  ASSERT_TRUE(worker.PublishLayer(shard1.lease(), 1, "packed layer 1").ok());
  ASSERT_TRUE(worker.Complete(shard1.lease(), {{{TaskPhase::kQuantize, 6}}, QuantizeResult{}}).ok());

  const v1::TaskGrant finalize = worker.Poll();
  ASSERT_EQ(finalize.kind(), v1::TASK_KIND_FINALIZE);
  ASSERT_EQ(finalize.published_layers_size(), 2);
  EXPECT_EQ(finalize.published_layers(1).linears(0).name(), "model.layers.1.q");
  ASSERT_TRUE(worker.Complete(finalize.lease(), {{}, FinalizeResult{777, DigestOf("manifest")}}).ok());

  const v1::TaskGrant source = worker.Poll();
  EXPECT_EQ(source.evaluation_target(), v1::EVALUATION_TARGET_SOURCE);
  ASSERT_TRUE(worker.Complete(source.lease(), {{}, EvaluateResult{20, 64}}).ok());
  const v1::TaskGrant quantized = worker.Poll();
  ASSERT_TRUE(worker.Complete(quantized.lease(), {{}, EvaluateResult{21, 64}}).ok());

  v1::GetReportRequest request;
  request.set_job_id(job_id);
  v1::GetReportResponse response;
  ASSERT_TRUE(service.Call(*service.jobs, &v1::JobService::Stub::GetReport, request, response).ok());
  EXPECT_EQ(response.report().state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(response.report().output_bytes(), 777u);
  EXPECT_EQ(response.report().manifest_sha256_hex(), DigestOf("manifest").hex());
  EXPECT_EQ(response.report().perplexity().source(), 20);
  EXPECT_EQ(response.report().perplexity().quantized(), 21);
  EXPECT_EQ(response.report().seconds(0).seconds(), 10);
  EXPECT_EQ(response.report().linears_size(), 2);
  const std::string metrics = service.registry.RenderText();
  EXPECT_NE(metrics.find("gptvq_coordinator_jobs_ended_total{state=\"succeeded\"} 1"), std::string::npos);
  EXPECT_NE(metrics.find("gptvq_coordinator_layers_published_total 2"), std::string::npos);
  EXPECT_NE(metrics.find("gptvq_coordinator_leases_granted_total 5"), std::string::npos);
  EXPECT_NE(metrics.find("gptvq_coordinator_task_phase_seconds_total{phase=\"quantize\"} 10"), std::string::npos);
  EXPECT_NE(metrics.find("code=\"OK\",method=\"PublishLayer\"} 2"), std::string::npos);
}

TEST(CoordinatorMetrics, EveryMethodHasItsSeriesBeforeItsFirstCall) {
  MetricsRegistry registry("coordinator");
  const CoordinatorMetrics metrics(registry);
  const std::string text = registry.RenderText();

  for (const char* service : {"gptvq.v1.JobService", "gptvq.v1.WorkerService"}) {
    const auto* descriptor = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service);
    ASSERT_NE(descriptor, nullptr) << service;
    for (int i = 0; i < descriptor->method_count(); ++i) {
      const std::string series = "calls_total{code=\"OK\",method=\"" + descriptor->method(i)->name() + "\"} 0";
      EXPECT_NE(text.find(series), std::string::npos) << series;
    }
  }
}

TEST(CompleteTaskCall, ABoundaryThatIsNotStoredIsRefused) {
  Service service;
  JobSpec spec = AJobSpec();
  spec.shard_layers = 1;
  SubmitTo(service, spec);
  TestWorker worker(service);
  const v1::TaskGrant grant = worker.Poll();
  ASSERT_TRUE(worker.PublishLayer(grant.lease(), 0, "packed layer 0").ok());

  const auto refused = worker.Complete(grant.lease(), {{}, QuantizeResult{DigestOf("never stored")}});

  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::kOutputMissing);
}

TEST(LeaseCalls, AForgedTokenIsRefusedEverywhere) {
  Service service;
  SubmitTo(service);
  TestWorker worker(service);
  v1::Lease lease = worker.Poll().lease();
  std::string token = lease.lease_token();
  token[5] = token[5] == '0' ? '1' : '0';
  lease.set_lease_token(token);

  EXPECT_EQ(ReasonOf(worker.Renew(lease).status()), ErrorReason::kBadLeaseToken);
  EXPECT_EQ(ReasonOf(worker.PublishLayer(lease, 0, "bytes").status()), ErrorReason::kBadLeaseToken);
  EXPECT_EQ(ReasonOf(worker.Complete(lease, {{}, QuantizeResult{}}).status()), ErrorReason::kBadLeaseToken);
  EXPECT_EQ(ReasonOf(worker.Fail(lease, v1::FAILURE_CLASS_BUG, "m")), ErrorReason::kBadLeaseToken);
  EXPECT_EQ(ReasonOf(worker.Release(lease)), ErrorReason::kBadLeaseToken);
}

TEST(LeaseCalls, ALeaseThatIsNotRenewedExpiresAndOneThatIsDoesNot) {
  Service service;
  SubmitTo(service, WithoutEvaluation());
  TestWorker worker(service);
  const v1::Lease lease = worker.Poll().lease();
  const auto let_pass = [&](std::chrono::seconds time) {
    for (; time.count() > 0; time -= std::chrono::seconds(1)) {
      service.clock.AwaitSleepers(1);
      service.clock.Advance(std::chrono::seconds(1));
      service.clock.AwaitSleepers(1);  // the tick is over
    }
  };

  let_pass(std::chrono::seconds(29));
  ASSERT_TRUE(worker.Renew(lease).ok());
  let_pass(std::chrono::seconds(29));
  ASSERT_TRUE(worker.Renew(lease).ok());
  let_pass(std::chrono::seconds(31));

  EXPECT_EQ(ReasonOf(worker.Renew(lease).status()), ErrorReason::kNotHeld);
  EXPECT_EQ(worker.Poll().lease().epoch(), 2);
}

TEST(LeaseCalls, ALeaseOutlivesACoordinatorThatStoodStill) {
  Service service;
  SubmitTo(service, WithoutEvaluation());
  TestWorker worker(service);
  const v1::Lease lease = worker.Poll().lease();

  service.clock.AwaitSleepers(1);
  service.clock.Advance(std::chrono::hours(1));  // at once: not a tick in between
  service.clock.AwaitSleepers(1);

  EXPECT_TRUE(worker.Renew(lease).ok());
}

TEST(LeaseCalls, ACancelledJobTellsItsHolder) {
  Service service;
  const std::string job_id = SubmitTo(service);
  TestWorker worker(service);
  const v1::Lease lease = worker.Poll().lease();
  v1::CancelJobRequest request;
  request.set_job_id(job_id);
  v1::CancelJobResponse response;
  ASSERT_TRUE(service.Call(*service.jobs, &v1::JobService::Stub::CancelJob, request, response).ok());

  EXPECT_TRUE(worker.Renew(lease)->cancel_requested());
  const auto late = worker.Complete(lease, {{}, QuantizeResult{}});
  EXPECT_EQ(late.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(ReasonOf(late.status()), ErrorReason::kJobCancelled);
  EXPECT_TRUE(worker.Release(lease).ok());
}

TEST(FailTaskCall, AnInputFailureEndsTheJobWithItsMessage) {
  Service service;
  const std::string job_id = SubmitTo(service);
  TestWorker worker(service);
  const v1::Lease lease = worker.Poll().lease();

  ASSERT_TRUE(worker.Fail(lease, v1::FAILURE_CLASS_INPUT, "calibration text has 12 tokens, 16384 are needed").ok());

  v1::GetJobRequest request;
  request.set_job_id(job_id);
  v1::GetJobResponse response;
  ASSERT_TRUE(service.Call(*service.jobs, &v1::JobService::Stub::GetJob, request, response).ok());
  EXPECT_EQ(response.job().state(), v1::JOB_STATE_FAILED);
  EXPECT_NE(response.job().failure().message().find("12 tokens"), std::string::npos);
  EXPECT_EQ(response.job().failure().worker_name(), "worker-a");
}

TEST(RenewLeaseCall, ProgressThatIsNoProgressIsRefused) {
  Service service;
  SubmitTo(service);
  TestWorker worker(service);
  v1::RenewLeaseRequest request;
  *request.mutable_lease() = worker.Poll().lease();
  request.mutable_progress()->set_fraction(7);
  v1::RenewLeaseResponse response;

  EXPECT_EQ(ReasonOf(service.Call(*service.workers, &WorkerStub::RenewLease, request, response)),
            ErrorReason::kInvalidField);
}

}  // namespace
}  // namespace gptvq

// Who may do what: roles, owners and the table of methods, over real TLS.
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "grpcpp/generic/generic_stub.h"
#include "server/method_table.h"
#include "tests/server/tls_service_fixture.h"

namespace gptvq {
namespace {

TEST_F(TlsServiceTest, ARoleDoesItsOwnWorkOnly) {
  Service service(Options());

  EXPECT_TRUE(Submit(*Jobs(service, As("client/alice")), kRequestId).ok());
  EXPECT_TRUE(Register(*Workers(service, As("worker/worker-a")), "worker-a").ok());
  EXPECT_EQ(Submit(*Jobs(service, As("worker/worker-a")), kRequestId).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Register(*Workers(service, As("client/worker-a")), "worker-a").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Register(*Workers(service, As("admin/worker-a")), "worker-a").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Capabilities(service, As("coordinator/main")).code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(TlsServiceTest, ACertificateWithoutExactlyOneIdentityOfTheDomainHasNoRole) {
  Service service(Options());
  for (const char* names :
       {"DNS:localhost", "URI:spiffe://example.com/gptvq/admin/root", "URI:https://example.org/admin",
        "URI:spiffe://example.org/gptvq/client/a,URI:spiffe://example.org/gptvq/admin/a"}) {
    EXPECT_EQ(Capabilities(service, {authority_.Issue({.names = names}), ""}).code(),
              absl::StatusCode::kPermissionDenied)
        << names;
  }
}

TEST_F(TlsServiceTest, AWorkerSpeaksForNobodyElse) {
  Service service(Options());
  const auto a = Workers(service, As("worker/worker-a"));
  const auto b = Workers(service, As("worker/worker-b"));
  ASSERT_TRUE(Submit(*Jobs(service, As("client/alice")), kRequestId).ok());
  ASSERT_TRUE(Register(*a, "worker-a").ok());
  grpc::ClientContext poll_context;
  v1::LeaseTaskResponse granted;
  ASSERT_TRUE(FromGrpcStatus(a->LeaseTask(&poll_context, APoll("p", "worker-a"), &granted)).ok());
  const v1::Lease& lease = granted.grant().lease();
  ASSERT_FALSE(lease.lease_token().empty());

  const auto expect_mismatch = [](const grpc::Status& status) {
    EXPECT_EQ(ReasonOf(FromGrpcStatus(status)), ErrorReason::kIdentityMismatch) << status.error_message();
  };
  EXPECT_EQ(ReasonOf(Register(*b, "worker-a")), ErrorReason::kIdentityMismatch);
  {
    grpc::ClientContext context;
    v1::LeaseTaskResponse response;
    expect_mismatch(b->LeaseTask(&context, APoll("q", "worker-a"), &response));
  }
  {
    grpc::ClientContext context;
    v1::RenewLeaseRequest request;
    *request.mutable_lease() = lease;
    v1::RenewLeaseResponse response;
    expect_mismatch(b->RenewLease(&context, request, &response));
  }
  {
    grpc::ClientContext context;
    v1::FailTaskRequest request;
    *request.mutable_lease() = lease;
    request.set_failure_class(v1::FAILURE_CLASS_FATAL);
    v1::FailTaskResponse response;
    expect_mismatch(b->FailTask(&context, request, &response));
  }
  {
    grpc::ClientContext context;
    v1::ReleaseTaskRequest request;
    *request.mutable_lease() = lease;
    v1::ReleaseTaskResponse response;
    expect_mismatch(b->ReleaseTask(&context, request, &response));
  }
  {
    grpc::ClientContext context;
    v1::PublishLayerResponse response;
    const auto writer = b->PublishLayer(&context, &response);
    writer->Write(TestWorker::Header(lease, 0, "bytes"));
    writer->WritesDone();
    expect_mismatch(writer->Finish());
  }
  {
    grpc::ClientContext context;
    v1::CheckpointTaskRequest request;
    *request.mutable_lease() = lease;
    v1::CheckpointTaskResponse response;
    expect_mismatch(b->CheckpointTask(&context, request, &response));
  }
  {
    grpc::ClientContext context;
    v1::CompleteTaskRequest request;
    *request.mutable_lease() = lease;
    v1::CompleteTaskResponse response;
    expect_mismatch(b->CompleteTask(&context, request, &response));
  }
}

TEST_F(TlsServiceTest, AClientSeesAndCancelsItsOwnJobsOnlyAndAnAdminAll) {
  Service service(Options());
  const auto alice = Jobs(service, As("client/alice"));
  const auto bob = Jobs(service, As("client/bob"));
  const auto root = Jobs(service, As("admin/root"));
  std::string job_id;
  ASSERT_TRUE(Submit(*alice, kRequestId, &job_id).ok());

  const auto get = [&](v1::JobService::Stub& jobs) {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_job_id(job_id);
    v1::GetJobResponse response;
    return FromGrpcStatus(jobs.GetJob(&context, request, &response));
  };
  const auto report = [&](v1::JobService::Stub& jobs) {
    grpc::ClientContext context;
    v1::GetReportRequest request;
    request.set_job_id(job_id);
    v1::GetReportResponse response;
    return FromGrpcStatus(jobs.GetReport(&context, request, &response));
  };
  const auto watch = [&](v1::JobService::Stub& jobs) {
    grpc::ClientContext context;
    v1::WatchJobRequest request;
    request.set_job_id(job_id);
    const auto reader = jobs.WatchJob(&context, request);
    v1::WatchJobResponse response;
    EXPECT_FALSE(reader->Read(&response));
    return FromGrpcStatus(reader->Finish());
  };
  const auto cancel = [&](v1::JobService::Stub& jobs) {
    grpc::ClientContext context;
    v1::CancelJobRequest request;
    request.set_job_id(job_id);
    v1::CancelJobResponse response;
    return FromGrpcStatus(jobs.CancelJob(&context, request, &response));
  };
  const auto count = [](v1::JobService::Stub& jobs) {
    grpc::ClientContext context;
    v1::ListJobsResponse response;
    EXPECT_TRUE(jobs.ListJobs(&context, {}, &response).ok());
    return response.jobs_size();
  };

  for (const absl::Status& foreign : {get(*bob), report(*bob), watch(*bob), cancel(*bob)}) {
    EXPECT_EQ(ReasonOf(foreign), ErrorReason::kJobUnknown) << foreign;
    EXPECT_EQ(foreign.message(), "no job " + job_id);  // the words for a job that does not exist
  }
  EXPECT_EQ(ReasonOf(Submit(*bob, kRequestId)), ErrorReason::kIdempotencyMismatch);
  EXPECT_EQ(count(*alice), 1);
  EXPECT_EQ(count(*bob), 0);
  EXPECT_EQ(count(*root), 1);
  EXPECT_TRUE(get(*alice).ok() && get(*root).ok() && report(*alice).ok());
  EXPECT_TRUE(cancel(*root).ok());

  std::vector<nlohmann::json> lines;
  for (const std::string& line : AuditLines()) lines.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(lines.size(), 7u);  // a submit, four denials, a submit that was refused, a cancellation
  EXPECT_EQ(lines[0]["method"], "SubmitJob");
  EXPECT_EQ(lines[0]["identity"], "client/alice");
  EXPECT_EQ(lines[0]["job"], job_id);
  EXPECT_EQ(lines[4]["method"], "CancelJob");
  EXPECT_EQ(lines[4]["identity"], "client/bob");
  EXPECT_EQ(lines[4]["decision"], "denied");
  EXPECT_EQ(lines[6]["identity"], "admin/root");
  EXPECT_EQ(lines[6]["decision"], "allowed");
}

TEST_F(TlsServiceTest, TheTasksOfOthersAreNotShownWithTheWorkers) {
  Service service(Options());
  const auto worker = Workers(service, As("worker/worker-a"));
  ASSERT_TRUE(Submit(*Jobs(service, As("client/alice")), kRequestId).ok());
  ASSERT_TRUE(Register(*worker, "worker-a").ok());
  grpc::ClientContext poll_context;
  v1::LeaseTaskResponse granted;
  ASSERT_TRUE(worker->LeaseTask(&poll_context, APoll("p", "worker-a"), &granted).ok());

  const auto shown = [&](const std::string& role_and_name) {
    grpc::ClientContext context;
    v1::ListWorkersResponse response;
    EXPECT_TRUE(Jobs(service, As(role_and_name))->ListWorkers(&context, {}, &response).ok());
    EXPECT_EQ(response.workers_size(), 1);
    return response.workers(0).leased_task_ids_size();
  };
  EXPECT_EQ(shown("client/alice"), 1);
  EXPECT_EQ(shown("admin/root"), 1);
  EXPECT_EQ(shown("client/bob"), 0);
}

TEST_F(TlsServiceTest, EveryMethodIsForItsRolesAndDeniedToAllOthers) {
  // c: client, a: admin, o: observer, w: worker. Nobody calls as a coordinator.
  const std::map<std::string, std::string> who_may = {
      {"/gptvq.v1.JobService/SubmitJob", "ca"},
      {"/gptvq.v1.JobService/GetJob", "cao"},
      {"/gptvq.v1.JobService/ListJobs", "cao"},
      {"/gptvq.v1.JobService/WatchJob", "cao"},
      {"/gptvq.v1.JobService/CancelJob", "ca"},
      {"/gptvq.v1.JobService/GetReport", "cao"},
      {"/gptvq.v1.JobService/ListWorkers", "cao"},
      {"/gptvq.v1.JobService/GetCapabilities", "caow"},
      {"/gptvq.v1.JobService/ReleaseWorker", "a"},
      {"/gptvq.v1.WorkerService/RegisterWorker", "w"},
      {"/gptvq.v1.WorkerService/LeaseTask", "w"},
      {"/gptvq.v1.WorkerService/RenewLease", "w"},
      {"/gptvq.v1.WorkerService/PublishLayer", "w"},
      {"/gptvq.v1.WorkerService/QueryUpload", "w"},
      {"/gptvq.v1.WorkerService/CheckpointTask", "w"},
      {"/gptvq.v1.WorkerService/CompleteTask", "w"},
      {"/gptvq.v1.WorkerService/FailTask", "w"},
      {"/gptvq.v1.WorkerService/ReleaseTask", "w"},
      {"/grpc.health.v1.Health/Check", "caow"},
      {"/grpc.health.v1.Health/Watch", "caow"},
      {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "a"},
      // What is not in the table, whether the server could have it or not.
      {"/gptvq.v1.JobService/DropJobs", ""},
      {"/gptvq.v1.JobService/submitjob", ""},
      {"/gptvq.v2.JobService/GetJob", ""},
      {"/grpc.channelz.v1.Channelz/GetServers", ""},
      {"/other.Service/Method", ""},
  };
  std::set<std::string> listed;
  for (const MethodRule& rule : MethodTable()) listed.emplace(rule.path);
  for (const auto& [path, roles] : who_may) EXPECT_EQ(listed.contains(path), !roles.empty()) << path;
  for (const std::string& path : listed) EXPECT_TRUE(who_may.contains(path)) << path << " is not in this test";
  Service service(Options());

  for (const auto& [letter, identity] : std::map<char, std::string>{
           {'c', "client/x"}, {'a', "admin/x"}, {'o', "observer/x"}, {'w', "worker/x"}, {'-', "coordinator/x"}}) {
    grpc::GenericStub stub(MakeChannel(service.server->address(), As(identity)));
    for (const auto& [path, roles] : who_may) {
      const grpc::Status status = CallAny(stub, path);
      const bool was_denied = status.error_code() == grpc::StatusCode::PERMISSION_DENIED &&
                              status.error_message().find(identity + " may not call") == 0;
      EXPECT_EQ(was_denied, roles.find(letter) == std::string::npos)
          << identity << " calls " << path << ": " << status.error_message();
    }
  }
}

TEST_F(TlsServiceTest, AnObserverSeesTheJobsOfAllAndCanNotCancelThem) {
  Service service(Options());
  std::string job_id;
  ASSERT_TRUE(Submit(*Jobs(service, As("client/alice")), kRequestId, &job_id).ok());
  const auto observer = Jobs(service, As("observer/dashboard"));
  v1::GetJobRequest get;
  get.set_job_id(job_id);
  v1::GetJobResponse job;
  v1::CancelJobRequest cancel;
  cancel.set_job_id(job_id);
  v1::CancelJobResponse cancelled;

  EXPECT_TRUE(service.Call(*observer, &v1::JobService::Stub::GetJob, get, job).ok());
  EXPECT_EQ(service.Call(*observer, &v1::JobService::Stub::CancelJob, cancel, cancelled).code(),
            absl::StatusCode::kPermissionDenied);
}
}  // namespace
}  // namespace gptvq

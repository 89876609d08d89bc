#ifndef GPTVQ_TESTS_SERVER_TLS_SERVICE_FIXTURE_H_
#define GPTVQ_TESTS_SERVER_TLS_SERVICE_FIXTURE_H_

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "grpcpp/generic/generic_stub.h"
#include "platform/rpc/channel.h"
#include "tests/server/service_fixture.h"
#include "tests/support/test_authority.h"

namespace gptvq {

// Calls any method with an empty message and says how that went; OK as soon as it answers.
inline grpc::Status CallAny(grpc::GenericStub& stub, const std::string& path) {
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return ok;
  };
  const auto call = stub.PrepareCall(&context, path, &queue);
  call->StartCall(nullptr);
  grpc::Status status;
  grpc::ByteBuffer answer;
  if (next()) {
    const grpc::Slice nothing;
    call->WriteLast(grpc::ByteBuffer(&nothing, 1), grpc::WriteOptions(), nullptr);
    next();
    call->Read(&answer, nullptr);
    if (next()) context.TryCancel();
  }
  const bool has_answer = answer.Valid();
  call->Finish(&status, nullptr);
  next();
  return has_answer ? grpc::Status::OK : status;
}

// Both services over real TLS, and callers with certificates of the openssl program.
class TlsServiceTest : public testing::Test {
 protected:
  ServiceOptions Options() {
    ServiceOptions options;
    options.server.tls = authority_.IssueToCoordinator();
    options.trust_domain = "example.org";
    options.audit_file = authority_.Join("audit");
    return options;
  }
  ConnectionSecurity As(const std::string& role_and_name) { return {authority_.IssueTo(role_and_name), ""}; }

  static std::unique_ptr<v1::JobService::Stub> Jobs(const Service& service, const ConnectionSecurity& security) {
    return v1::JobService::NewStub(MakeChannel(service.server->address(), security));
  }
  static std::unique_ptr<v1::WorkerService::Stub> Workers(const Service& service, const ConnectionSecurity& security) {
    return v1::WorkerService::NewStub(MakeChannel(service.server->address(), security));
  }

  static absl::Status Submit(v1::JobService::Stub& jobs, const std::string& request_id, std::string* job_id = nullptr) {
    grpc::ClientContext context;
    v1::SubmitJobResponse response;
    const absl::Status status =
        FromGrpcStatus(jobs.SubmitJob(&context, ASubmitRequest(AJobSpec(), request_id), &response));
    if (job_id != nullptr) *job_id = response.job().job_id();
    return status;
  }
  static absl::Status Capabilities(v1::JobService::Stub& jobs) {
    grpc::ClientContext context;
    v1::GetCapabilitiesResponse response;
    return FromGrpcStatus(jobs.GetCapabilities(&context, {}, &response));
  }
  static absl::Status Capabilities(const Service& service, const ConnectionSecurity& security) {
    return Capabilities(*Jobs(service, security));
  }
  static absl::Status Register(v1::WorkerService::Stub& workers, const std::string& name) {
    grpc::ClientContext context;
    v1::RegisterWorkerResponse response;
    return FromGrpcStatus(workers.RegisterWorker(&context, ARegistration(name), &response));
  }

  std::vector<std::string> AuditLines() const {
    std::vector<std::string> lines;
    std::ifstream file(authority_.Join("audit"));
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }

  TestAuthority authority_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SERVER_TLS_SERVICE_FIXTURE_H_

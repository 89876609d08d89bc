#ifndef GPTVQ_TESTS_SERVER_JOB_CALLS_H_
#define GPTVQ_TESTS_SERVER_JOB_CALLS_H_

#include <string>

#include "absl/status/statusor.h"
#include "tests/server/service_fixture.h"

namespace gptvq {

using JobStub = v1::JobService::Stub;

// A client's calls of JobService, each with the status as both sides mean it.

inline absl::StatusOr<v1::Job> Submit(Service& service, const v1::SubmitJobRequest& request = ASubmitRequest()) {
  v1::SubmitJobResponse response;
  const absl::Status status = service.Call(*service.jobs, &JobStub::SubmitJob, request, response);
  if (!status.ok()) return status;
  return response.job();
}

inline absl::StatusOr<v1::Job> Get(Service& service, const std::string& job_id) {
  v1::GetJobRequest request;
  request.set_job_id(job_id);
  v1::GetJobResponse response;
  const absl::Status status = service.Call(*service.jobs, &JobStub::GetJob, request, response);
  if (!status.ok()) return status;
  return response.job();
}

inline absl::StatusOr<v1::Job> Cancel(Service& service, const std::string& job_id) {
  v1::CancelJobRequest request;
  request.set_job_id(job_id);
  v1::CancelJobResponse response;
  const absl::Status status = service.Call(*service.jobs, &JobStub::CancelJob, request, response);
  if (!status.ok()) return status;
  return response.job();
}

// kRequestId with another end.
inline std::string RequestId(int number) {
  const std::string digits = std::to_string(number);
  return kRequestId.substr(0, kRequestId.size() - digits.size()) + digits;
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SERVER_JOB_CALLS_H_

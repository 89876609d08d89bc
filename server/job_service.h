#ifndef GPTVQ_SERVER_JOB_SERVICE_H_
#define GPTVQ_SERVER_JOB_SERVICE_H_

#include <string>
#include <string_view>

#include "gptvq/v1/job_service.grpc.pb.h"
#include "server/coordinator.h"
#include "server/rpc_call.h"
#include "server/seal.h"
#include "server/submission.h"

namespace gptvq {

struct JobServiceOptions {
  int max_watchers = 32;
};

// gptvq.v1.JobService: translates between the wire and the coordinator, and decides nothing. Borrows everything given to
// the constructor. Thread-safe.
class GrpcJobService final : public v1::JobService::Service {
 public:
  GrpcJobService(Coordinator& coordinator, Submission& submission, const Seal& seal, CoordinatorMetrics& metrics,
                 const CallGuard& guard, const JobServiceOptions& options = {});

  grpc::Status SubmitJob(grpc::ServerContext*, const v1::SubmitJobRequest*, v1::SubmitJobResponse*) override;
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest*, v1::GetJobResponse*) override;
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest*, v1::ListJobsResponse*) override;
  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest*,
                        grpc::ServerWriter<v1::WatchJobResponse>*) override;
  grpc::Status CancelJob(grpc::ServerContext*, const v1::CancelJobRequest*, v1::CancelJobResponse*) override;
  grpc::Status GetReport(grpc::ServerContext*, const v1::GetReportRequest*, v1::GetReportResponse*) override;
  grpc::Status ListWorkers(grpc::ServerContext*, const v1::ListWorkersRequest*, v1::ListWorkersResponse*) override;
  grpc::Status ReleaseWorker(grpc::ServerContext* context, const v1::ReleaseWorkerRequest* request,
                             v1::ReleaseWorkerResponse* response) override;
  grpc::Status GetCapabilities(grpc::ServerContext*, const v1::GetCapabilitiesRequest*,
                               v1::GetCapabilitiesResponse*) override;

 private:
  // Whether a caller may know of a job: its own, or every one.
  bool IsVisible(const Caller& caller, std::string_view job_id) const;
  // Errors: NotFound (JOB_UNKNOWN) for a job that is not there or not visible; the caller can not tell which.
  absl::Status CheckVisible(Call& call) const;

  absl::Status Submit(const v1::SubmitJobRequest& request, Call& call, v1::SubmitJobResponse& response);
  absl::Status List(const v1::ListJobsRequest& request, const Caller& caller, v1::ListJobsResponse& response);
  absl::Status Watch(const Call& call, const grpc::ServerContext& context, const v1::WatchJobRequest& request,
                     grpc::ServerWriter<v1::WatchJobResponse>& writer);
  // Sends the events after `after_seq`; returns the number of the last one. Cancelled when the client is gone.
  absl::StatusOr<std::int64_t> SendEvents(const std::string& job_id, std::int64_t after_seq,
                                          grpc::ServerWriter<v1::WatchJobResponse>& writer);
  absl::Status Cancel(Call& call, v1::CancelJobResponse& response);
  absl::Status Report(Call& call, v1::GetReportResponse& response);

  Coordinator& coordinator_;
  Submission& submission_;
  const Seal& seal_;
  const ServiceDesk desk_;
  ConcurrencyLimit watchers_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_JOB_SERVICE_H_

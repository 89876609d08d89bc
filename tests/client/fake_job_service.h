#ifndef GPTVQ_TESTS_CLIENT_FAKE_JOB_SERVICE_H_
#define GPTVQ_TESTS_CLIENT_FAKE_JOB_SERVICE_H_

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "gptvq/v1/job_service.grpc.pb.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "platform/rpc/channel.h"

namespace gptvq {

// A coordinator that says what the test tells it to. Calls come one at a time; the test looks at the fields in between.
class FakeJobService final : public v1::JobService::Service {
 public:
  FakeJobService() {
    grpc::ServerBuilder builder;
    ConfigureServer(builder);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    job.set_job_id("job-0123456789abcdef");
    job.set_state(v1::JOB_STATE_PENDING);
    job.set_layer_count(4);
    job.set_shard_layers(2);
    job.set_task_count(5);
  }
  ~FakeJobService() override { server_->Shutdown(); }

  std::shared_ptr<grpc::Channel> Channel() { return server_->InProcessChannel({}); }

  // What every call is answered with: `job`, or `refusal` when that is no OK; the first ones with `first_refusals`.
  v1::Job job;
  grpc::Status refusal;
  std::deque<grpc::Status> first_refusals;
  std::vector<std::string> warnings;  // in the answer to a submit
  v1::MemoryPlan memory;              // in the answer to a dry run
  // After the snapshot; then the watch ends with `watch_end`, the first ones with `first_watch_ends`.
  std::vector<v1::JobEvent> events;
  grpc::Status watch_end;
  std::deque<grpc::Status> first_watch_ends;
  // What was asked.
  std::vector<v1::SubmitJobRequest> submits;
  int call_count = 0;

  grpc::Status SubmitJob(grpc::ServerContext*, const v1::SubmitJobRequest* request,
                         v1::SubmitJobResponse* response) override {
    submits.push_back(*request);
    *response->mutable_job() = job;
    response->mutable_warnings()->Assign(warnings.begin(), warnings.end());
    if (request->validate_only()) *response->mutable_memory() = memory;
    return Answer();
  }

  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest*, v1::GetJobResponse* response) override {
    *response->mutable_job() = job;
    return Answer();
  }

  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest*,
                        grpc::ServerWriter<v1::WatchJobResponse>* writer) override {
    if (const grpc::Status status = Answer(); !status.ok()) return status;
    v1::WatchJobResponse response;
    *response.mutable_snapshot() = job;
    writer->Write(response);
    for (const v1::JobEvent& event : events) {
      *response.mutable_event() = event;
      writer->Write(response);
    }
    return Next(first_watch_ends, watch_end);
  }

 private:
  grpc::Status Answer() {
    ++call_count;
    return Next(first_refusals, refusal);
  }

  static grpc::Status Next(std::deque<grpc::Status>& first, const grpc::Status& others) {
    if (first.empty()) return others;
    const grpc::Status next = first.front();
    first.pop_front();
    return next;
  }

  std::unique_ptr<grpc::Server> server_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CLIENT_FAKE_JOB_SERVICE_H_

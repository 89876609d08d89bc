// The stream of JobService.WatchJob.

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/server/job_calls.h"

namespace gptvq {
namespace {

// Reads a watch to its end.
struct Watched {
  std::vector<v1::WatchJobResponse> messages;
  absl::Status status;
};

Watched Watch(Service& service, const v1::WatchJobRequest& request) {
  grpc::ClientContext context;
  const auto reader = service.jobs->WatchJob(&context, request);
  Watched watched;
  v1::WatchJobResponse message;
  while (reader->Read(&message)) watched.messages.push_back(message);
  watched.status = FromGrpcStatus(reader->Finish());
  return watched;
}

TEST(WatchJobCall, ShowsTheSnapshotThenEveryEventToTheEnd) {
  Service service;
  const std::string job_id = Submit(service)->job_id();
  v1::WatchJobRequest request;
  request.set_job_id(job_id);
  grpc::ClientContext context;
  const auto reader = service.jobs->WatchJob(&context, request);
  v1::WatchJobResponse message;
  ASSERT_TRUE(reader->Read(&message));
  EXPECT_EQ(message.snapshot().job_id(), job_id);

  TestWorker worker(service);
  const v1::TaskGrant grant = worker.Poll();
  ASSERT_TRUE(worker.Renew(grant.lease(), 3).ok());
  std::int64_t seq = 0;
  bool saw_progress = false;
  while (!saw_progress && reader->Read(&message)) {
    if (message.event().event_seq() > 0) {
      EXPECT_EQ(message.event().event_seq(), ++seq);
    }
    saw_progress = message.event().task_progress().progress().counter() == 3;
  }
  EXPECT_TRUE(saw_progress);
  ASSERT_TRUE(Cancel(service, job_id).ok());
  ASSERT_TRUE(worker.Release(grant.lease()).ok());
  v1::JobState last = v1::JOB_STATE_UNSPECIFIED;
  while (reader->Read(&message)) {
    if (message.event().event_seq() > 0) {
      EXPECT_EQ(message.event().event_seq(), ++seq);
    }
    if (message.event().has_job_state()) last = message.event().job_state().to();
  }

  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(last, v1::JOB_STATE_CANCELLED);
}

TEST(WatchJobCall, ResumesAfterAnyEventAlsoOfAnEndedJob) {
  ServiceOptions options;
  options.coordinator.scheduler.retained_jobs = 0;
  Service service(options);
  const std::string job_id = Submit(service)->job_id();
  ASSERT_TRUE(Cancel(service, job_id).ok());
  const std::int64_t last = Get(service, job_id)->last_event_seq();
  v1::WatchJobRequest request;
  request.set_job_id(job_id);

  request.set_after_event_seq(0);
  const Watched all = Watch(service, request);
  request.set_after_event_seq(2);
  const Watched rest = Watch(service, request);
  request.clear_after_event_seq();
  const Watched none = Watch(service, request);

  EXPECT_TRUE(all.status.ok()) << all.status;
  EXPECT_EQ(all.messages.size(), static_cast<std::size_t>(last) + 1);
  EXPECT_EQ(all.messages[1].event().event_seq(), 1);
  EXPECT_EQ(rest.messages.size(), static_cast<std::size_t>(last) - 2 + 1);
  EXPECT_EQ(rest.messages[1].event().event_seq(), 3);
  EXPECT_EQ(none.messages.size(), 1u);
}

TEST(WatchJobCall, RefusesUnknownJobsAndEventsOfTheFuture) {
  Service service;
  const std::string job_id = Submit(service)->job_id();
  v1::WatchJobRequest request;
  request.set_job_id("job-none");
  EXPECT_EQ(ReasonOf(Watch(service, request).status), ErrorReason::kJobUnknown);
  request.set_job_id(job_id);
  request.set_after_event_seq(1000);
  EXPECT_EQ(Watch(service, request).status.code(), absl::StatusCode::kOutOfRange);
  request.set_after_event_seq(-1);
  EXPECT_EQ(ReasonOf(Watch(service, request).status), ErrorReason::kInvalidField);
}

TEST(WatchJobCall, OneWatcherTooManyIsToldWhenToComeBack) {
  ServiceOptions options;
  options.jobs.max_watchers = 1;
  Service service(options);
  v1::WatchJobRequest request;
  request.set_job_id(Submit(service)->job_id());
  grpc::ClientContext context;
  const auto first = service.jobs->WatchJob(&context, request);
  v1::WatchJobResponse message;
  ASSERT_TRUE(first->Read(&message));

  const Watched second = Watch(service, request);
  context.TryCancel();
  while (first->Read(&message)) {
  }

  EXPECT_EQ(ReasonOf(second.status), ErrorReason::kTooManyWatchers);
  EXPECT_TRUE(RetryAfter(second.status).has_value());
  EXPECT_EQ(first->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST(WatchJobCall, DrainingEndsTheStreamWithStopping) {
  Service service;
  v1::WatchJobRequest request;
  request.set_job_id(Submit(service)->job_id());
  grpc::ClientContext context;
  const auto reader = service.jobs->WatchJob(&context, request);
  v1::WatchJobResponse message;
  ASSERT_TRUE(reader->Read(&message));

  service.coordinator.Drain();
  while (reader->Read(&message)) {
  }

  EXPECT_EQ(ReasonOf(FromGrpcStatus(reader->Finish())), ErrorReason::kStopping);
  EXPECT_EQ(ReasonOf(Submit(service, ASubmitRequest(AJobSpec(), RequestId(7))).status()), ErrorReason::kStopping);
}

}  // namespace
}  // namespace gptvq

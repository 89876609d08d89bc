#include "worker/retrying_link.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "platform/job/error_reason.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;

constexpr int kMaxSuspectAnswers = 4;
constexpr milliseconds kLongestRequestedDelay(60'000);  // a coordinator that asks for more is asked again after this

const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// Whether the same call may get through later. `suspect_answers` counts those that may stem from the way there: damaged
// bytes, or a connection that broke in the middle, which gRPC reports as Internal or Unknown now and then.
bool MayRepeat(const absl::Status& status, int* suspect_answers) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded: return true;
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown: return ++*suspect_answers < kMaxSuspectAnswers;
    default: return RetryAfter(status).has_value();
  }
}

}  // namespace

template <typename CallT>
auto RetryingLink::Repeat(std::string_view method, const std::stop_token& stop, const CallT& call) {
  Backoff backoff(backoff_);
  int suspect_answers = 0;
  while (true) {
    auto result = call();
    const absl::Status& status = StatusOf(result);
    if (status.ok() || stop.stop_requested() || !MayRepeat(status, &suspect_answers)) return result;
    const milliseconds own_delay = backoff.Next();
    const milliseconds delay =
        std::max(own_delay, std::min(RetryAfter(status).value_or(own_delay), kLongestRequestedDelay));
    log_.Warning("call to the coordinator did not get through",
                 {{"method", method}, {"error", status.ToString()}, {"retry_after_ms", delay.count()}});
    retries_.Increment();
    clock_.Sleep(delay, stop);
    if (stop.stop_requested()) return result;
  }
}

absl::StatusOr<Registration> RetryingLink::Register(std::stop_token stop) {
  return Repeat("RegisterWorker", stop, [&] { return link_.Register(stop); });
}

absl::StatusOr<PollAnswer> RetryingLink::PollTask(const TaskPoll& poll, std::stop_token stop) {
  // The same poll_id each time: a grant whose answer was lost is answered again.
  return Repeat("LeaseTask", stop, [&] { return link_.PollTask(poll, stop); });
}

absl::StatusOr<RenewalAnswer> RetryingLink::RenewLease(const Lease& lease, const TaskProgress& progress,
                                                       std::stop_token stop) {
  return link_.RenewLease(lease, progress, std::move(stop));
}

absl::Status RetryingLink::PublishLayer(const Lease& lease, const LayerPublication& layer, std::stop_token stop) {
  return Repeat("PublishLayer", stop, [&] { return link_.PublishLayer(lease, layer, stop); });
}

absl::Status RetryingLink::CheckpointTask(const Lease& lease, const TaskCheckpoint& checkpoint, std::stop_token stop) {
  return Repeat("CheckpointTask", stop, [&] { return link_.CheckpointTask(lease, checkpoint, stop); });
}

absl::Status RetryingLink::CompleteTask(const Lease& lease, const TaskResult& result, std::stop_token stop) {
  return Repeat("CompleteTask", stop, [&] { return link_.CompleteTask(lease, result, stop); });
}

absl::Status RetryingLink::FailTask(const Lease& lease, const FailureReport& failure, std::stop_token stop) {
  return Repeat("FailTask", stop, [&] { return link_.FailTask(lease, failure, stop); });
}

absl::Status RetryingLink::ReleaseTask(const Lease& lease, std::stop_token stop) {
  return link_.ReleaseTask(lease, std::move(stop));
}

}  // namespace gptvq

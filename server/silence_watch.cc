#include "server/silence_watch.h"

#include <grpc/grpc.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "platform/thread_name.h"

namespace gptvq {

SilenceWatch::SilenceWatch(std::chrono::milliseconds limit, Clock& clock, grpc::ServerContext& context)
    : limit_(limit), clock_(clock), context_(context), thread_([this](const std::stop_token& stop) { Watch(stop); }) {}

absl::Status SilenceWatch::status() const {
  const std::lock_guard lock(mutex_);
  if (!has_ended_) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat("nothing was sent for ", limit_.count(), " ms"));
}

void SilenceWatch::Watch(const std::stop_token& stop) {
  NameThisThread("silence-watch");
  std::chrono::nanoseconds left = limit_;
  while (true) {
    clock_.Sleep(left, stop);
    if (stop.stop_requested()) return;
    const std::lock_guard lock(mutex_);
    left = limit_;
    if (!listening_since_) continue;
    left = *listening_since_ + limit_ - clock_.MonotonicNow();
    if (left > std::chrono::nanoseconds(0)) continue;
    has_ended_ = true;
    break;
  }
  // Not TryCancel: that tells the caller CANCELLED, which says nothing of why.
  grpc_call_cancel_with_status(context_.c_call(), GRPC_STATUS_DEADLINE_EXCEEDED,
                               std::string(status().message()).c_str(), nullptr);
}

void SilenceWatch::BeginToListen() {
  const MonotonicTime now = clock_.MonotonicNow();
  const std::lock_guard lock(mutex_);
  listening_since_ = now;
}

void SilenceWatch::EndToListen() {
  const std::lock_guard lock(mutex_);
  listening_since_.reset();
}

}  // namespace gptvq

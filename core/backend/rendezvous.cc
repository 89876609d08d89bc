#include "core/backend/rendezvous.h"

#include "core/base/check.h"

namespace gptvq {

absl::Status Rendezvous::Meet(int rank, std::string_view purpose, void* brought,
                              absl::FunctionRef<absl::Status(absl::Span<void* const>)> act) {
  GPTVQ_CHECK(rank >= 0 && rank < size());
  const auto aborted = [] { return absl::AbortedError("another device of the team has given up"); };
  std::unique_lock lock(mutex_);
  if (withdrawn_) return aborted();
  if (arrived_ == 0) {
    purpose_ = purpose;
    is_same_purpose_ = true;
  }
  is_same_purpose_ = is_same_purpose_ && purpose_ == purpose;
  brought_[rank] = brought;
  if (++arrived_ == size()) {
    // Under the lock: all others wait, and whoever withdraws may wait until this is over.
    outcome_ = is_same_purpose_ ? act(brought_) : absl::InternalError("the devices of a team met for different things");
    arrived_ = 0;
    ++meetings_;
    changed_.notify_all();
    return outcome_;
  }
  const std::uint64_t meeting = meetings_;
  changed_.wait(lock, [&] { return meetings_ != meeting || withdrawn_; });
  // The next meeting can not end before this rank has come to it, so the outcome is still that of this one.
  return meetings_ != meeting ? outcome_ : aborted();
}

void Rendezvous::Withdraw() {
  const std::lock_guard lock(mutex_);
  withdrawn_ = true;
  changed_.notify_all();
}

}  // namespace gptvq

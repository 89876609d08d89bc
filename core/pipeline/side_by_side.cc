#include "core/pipeline/side_by_side.h"

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/backend/device_lost.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

absl::Status RunOneByOne(int item_count, const SideBySideWork& work) {
  for (int item = 0; item < item_count; ++item) {
    GPTVQ_RETURN_IF_ERROR(work.begin(item));
    GPTVQ_RETURN_IF_ERROR(work.run(item, 0));
    work.end(item);
  }
  return absl::OkStatus();
}

struct Outcome {
  int item = 0;
  int place = 0;
  absl::Status status;
  std::exception_ptr exception;
};

// What threads have done; thread-safe.
class Outcomes {
 public:
  void Put(Outcome outcome) {
    const std::lock_guard lock(mutex_);
    outcomes_.push_back(std::move(outcome));
    is_there_.notify_one();
  }

  Outcome Take() {
    std::unique_lock lock(mutex_);
    is_there_.wait(lock, [this] { return !outcomes_.empty(); });
    Outcome outcome = std::move(outcomes_.front());
    outcomes_.pop_front();
    return outcome;
  }

 private:
  std::mutex mutex_;
  std::condition_variable is_there_;
  std::deque<Outcome> outcomes_;  // guarded by mutex_
};

// The calling thread's side: begins items, waits for them and tells of them.
class Foreman {
 public:
  Foreman(int item_count, int place_count, const SideBySideWork& work) : work_(work), done_(item_count) {
    for (int place = place_count - 1; place >= 0; --place) free_places_.push_back(place);
  }

  absl::Status Run() {
    BeginWhatFits();
    for (; running_ > 0; BeginWhatFits()) {
      Note(outcomes_.Take());
      while (refusal_.ok() && told_ < begun_ && is_done(told_)) work_.end(told_++);
    }
    threads_.clear();
    return Verdict();
  }

 private:
  bool is_done(int item) const { return done_[item].has_ended && done_[item].status.ok() && !done_[item].exception; }

  void BeginWhatFits() {
    while (!has_failed_ && begun_ < static_cast<int>(done_.size()) && !free_places_.empty()) {
      refusal_ = work_.begin(begun_);
      has_failed_ = !refusal_.ok();
      if (has_failed_) return;
      threads_.emplace_back([this, item = begun_, place = free_places_.back()] { outcomes_.Put(Try(item, place)); });
      free_places_.pop_back();
      ++begun_;
      ++running_;
    }
  }

  Outcome Try(int item, int place) const {
    try {
      return {item, place, work_.run(item, place), nullptr};
    } catch (...) {
      return {item, place, absl::OkStatus(), std::current_exception()};
    }
  }

  void Note(Outcome outcome) {
    --running_;
    free_places_.push_back(outcome.place);
    Done& done = done_[outcome.item];
    done = {true, std::move(outcome.status), std::move(outcome.exception)};
    has_failed_ = has_failed_ || !is_done(outcome.item);
  }

  absl::Status Verdict() const {
    for (const Done& done : done_) {
      if (done.exception) std::rethrow_exception(done.exception);
    }
    for (const Done& done : done_) {
      if (IsDeviceLost(done.status)) return done.status;
    }
    for (const Done& done : done_) GPTVQ_RETURN_IF_ERROR(done.status);
    return refusal_;
  }

  struct Done {
    bool has_ended = false;
    absl::Status status;
    std::exception_ptr exception;
  };

  const SideBySideWork& work_;
  Outcomes outcomes_;
  // Of the calling thread alone:
  std::vector<Done> done_;  // by items
  std::vector<int> free_places_;
  absl::Status refusal_;  // of `begin`
  bool has_failed_ = false;
  int begun_ = 0;
  int running_ = 0;
  int told_ = 0;
  std::vector<std::jthread> threads_;  // last: they use what is above
};

}  // namespace

absl::Status RunSideBySide(int item_count, int place_count, const SideBySideWork& work) {
  GPTVQ_CHECK(item_count >= 0 && place_count >= 1);
  if (std::min(item_count, place_count) <= 1) return RunOneByOne(item_count, work);
  return Foreman(item_count, place_count, work).Run();
}

}  // namespace gptvq

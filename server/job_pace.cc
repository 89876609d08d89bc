#include "server/job_pace.h"

#include <chrono>

namespace gptvq {
namespace {

constexpr double kStep = 0.01;   // between samples
constexpr double kSpan = 0.1;    // of the work that counts
constexpr double kLeast = 0.02;  // that says something

}  // namespace

void JobPace::Observe(MonotonicTime now, double done) {
  if (done < done_) samples_.clear();
  done_ = done;
  if (done <= 0) return;  // waiting for its first worker is not its pace
  if (samples_.empty() || done - samples_.back().done >= kStep) samples_.push_back({now, done});
  while (samples_.size() > 2 && done - samples_[1].done >= kSpan) samples_.pop_front();
}

std::optional<double> JobPace::SecondsLeft(MonotonicTime now) const {
  if (samples_.empty() || done_ - samples_.front().done < kLeast) return std::nullopt;
  const double seconds = std::chrono::duration<double>(now - samples_.front().time).count();
  return seconds * (1 - done_) / (done_ - samples_.front().done);
}

}  // namespace gptvq

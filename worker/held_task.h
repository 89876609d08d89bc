#ifndef GPTVQ_WORKER_HELD_TASK_H_
#define GPTVQ_WORKER_HELD_TASK_H_

#include <mutex>
#include <stop_token>
#include <string>
#include <utility>

#include "platform/clock.h"
#include "platform/job/lease.h"
#include "platform/job/task.h"

namespace gptvq {

// Why a task must not go on.
enum class StopReason {
  kNone,
  kCancelled,  // the coordinator wants it back: release it
  kLeaseLost,  // somebody else may hold it by now: drop it, say nothing
  kDraining,   // this worker is ending: release it
};

std::string_view Name(StopReason reason);  // none, cancelled, lease_lost, draining

// A lease in this worker's hands: what the executor thread writes (progress) and the renewal thread reads, and the
// other way round (the reason to stop). Thread-safe.
class HeldTask {
 public:
  HeldTask(TaskGrant grant, MonotonicTime granted_at) : grant_(std::move(grant)), renewed_at_(granted_at) {}

  const TaskGrant& grant() const { return grant_; }
  const Lease& lease() const { return grant_.lease; }

  // The first reason stays.
  void Stop(StopReason reason);
  StopReason stop_reason() const;
  // Requested by Stop.
  std::stop_token stop_token() const { return stop_.get_token(); }

  // Sets everything but the counter, which rises by one.
  void Advance(TaskProgress progress);
  TaskProgress progress() const;

  void Renewed(MonotonicTime now);
  MonotonicTime renewed_at() const;

 private:
  const TaskGrant grant_;
  std::stop_source stop_;

  mutable std::mutex mutex_;
  StopReason stop_reason_ = StopReason::kNone;
  TaskProgress progress_;
  MonotonicTime renewed_at_;
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_HELD_TASK_H_

#ifndef GPTVQ_WORKER_LEASE_LOOP_H_
#define GPTVQ_WORKER_LEASE_LOOP_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <vector>

#include "absl/status/status.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "worker/coordinator_link.h"
#include "worker/device_watch.h"
#include "worker/held_task.h"
#include "worker/task_executor.h"
#include "worker/worker_metrics.h"

namespace gptvq {

struct LeaseLoopOptions {
  // How long the coordinator may keep a poll open. The answer comes at once when there is work.
  std::chrono::milliseconds poll_wait{10'000};
  // A task whose lease could not be renewed for so long is dropped: whoever is not heard for 15 minutes has been
  // replaced, or there is nobody left to work for. Until then the work goes on: the epoch keeps a replaced worker
  // harmless.
  std::chrono::milliseconds orphan_timeout{900'000};
  // For the last words about a task that must end: complete, fail or release.
  std::chrono::milliseconds farewell_timeout{10'000};
};

// The daemon: pulls tasks, one per device slot, runs them, keeps their leases alive and reports how they ended.
//
// Threads: Run() is the lease thread; it starts one renewal thread and one executor thread per slot and joins them.
//   lease thread     registers; polls while a slot is idle whose device may work
//   renewal thread   renews every held lease once per heartbeat period; learns of cancellations and lost leases; while no
//                    slot may work it registers again, so that the coordinator hears of it
//   executor thread  runs a task, then completes, fails, releases or drops it
// A task that must end sees it at its next ReportProgress, and at once in a publish that waits. What a device did while it was
// at fault is neither published nor completed: the task fails as DEVICE, and the slot is tested before it gets another one.
//
// Borrows its collaborators. Run() is called once.
class LeaseLoop {
 public:
  // One slot per executor, in the order of `devices`.
  LeaseLoop(const LeaseLoopOptions& options, const std::vector<TaskExecutor*>& executors, DeviceWatch& devices,
            CoordinatorLink& link, Clock& clock, Logger& log, WorkerMetrics& metrics);
  ~LeaseLoop();

  // Works until `drain` is requested; then releases what it holds and returns OK.
  // Errors: DeviceLostError when a device is not to be trusted: the process must end; those of Register, such as
  // FailedPrecondition for a coordinator of another protocol.
  absl::Status Run(std::stop_token drain);

 private:
  struct Slot {
    TaskExecutor& executor;
    int index;
    // Shared with the renewal thread, which may be in a call about the task when its executor is done with it.
    std::shared_ptr<HeldTask> task;
  };
  class Session;

  // Lease thread.
  void LeaseTasks();
  Slot* AwaitIdleSlot();
  absl::Status PollOnce(Slot& slot, std::uint64_t poll_number);
  absl::Status Register();
  void Assign(Slot& slot, TaskGrant grant);
  // A grant for a slot whose device went out while the poll waited.
  void Refuse(const TaskGrant& grant);

  // Renewal thread.
  void RenewLeases(std::stop_token stop);
  void Renew(HeldTask& task, std::stop_token stop);

  // Executor threads.
  void RunSlot(Slot& slot, std::stop_token stop);
  std::shared_ptr<HeldTask> AwaitTask(Slot& slot, std::stop_token stop);
  void RunTask(Slot& slot, HeldTask& task);
  TaskEnd EndTask(HeldTask& task, const absl::StatusOr<TaskResult>& result);
  TaskEnd Report(HeldTask& task, const absl::StatusOr<TaskResult>& result, std::stop_token stop);

  // Any thread. Nothing is leased any more and what is held ends. The first error stays.
  void Shut(const absl::Status& status);

  const LeaseLoopOptions options_;
  DeviceWatch& devices_;
  CoordinatorLink& link_;
  Clock& clock_;
  Logger& log_;
  WorkerMetrics& metrics_;

  std::stop_source stop_;  // requested by Shut

  std::mutex mutex_;
  std::condition_variable_any changed_;  // a slot became idle, was given a task, or may or may not work
  std::vector<Slot> slots_;              // the vector itself never changes
  Registration registration_;
  absl::Status status_;
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_LEASE_LOOP_H_

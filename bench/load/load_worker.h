#ifndef GPTVQ_BENCH_LOAD_LOAD_WORKER_H_
#define GPTVQ_BENCH_LOAD_LOAD_WORKER_H_

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "bench/load/call_times.h"
#include "gptvq/v1/worker_service.grpc.pb.h"

namespace gptvq {

// What all workers of a row measured together.
struct WorkerTimes {
  CallTimes lease;  // polls that got a task
  CallTimes empty_poll;
  CallTimes renew;
  CallTimes publish;
  CallTimes complete;
};

// A worker on the wire without the work: a connection and an incarnation of its own, layers and boundaries of a few bytes. A call
// that fails is counted, not repeated. Borrows the times. Thread-compatible, but Renew() may run beside another call.
class LoadWorker {
 public:
  // `row` tells its polls from those of the same worker in another row.
  LoadWorker(const std::string& address, int number, int row, WorkerTimes& times);

  void Register();
  std::optional<v1::TaskGrant> Lease(std::chrono::milliseconds wait);
  // Whether the lease was extended.
  bool Renew(const v1::TaskGrant& grant);
  // Publishes and completes whatever the task is about.
  void Finish(const v1::TaskGrant& grant);
  void Release(const v1::TaskGrant& grant);
  // Sends `bytes` zeros as the next layer, in chunks of 1 MiB. Returns whether it was taken.
  bool Publish(const v1::TaskGrant& grant, int layer, const std::string& hex, std::uint64_t bytes);

  int failures() const { return failures_; }

  // Where and what the boundary is that every result names; to be put into the artifact store beforehand.
  static std::string BoundaryKey();
  static std::string BoundaryBytes();

 private:
  bool Ok(const grpc::Status& status);

  const std::string name_;
  const std::string incarnation_;
  const int row_;
  WorkerTimes& times_;
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  std::int64_t polls_ = 0;
  std::atomic<std::uint64_t> progress_ = 0;
  std::atomic<int> failures_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_BENCH_LOAD_LOAD_WORKER_H_

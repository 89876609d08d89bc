#ifndef GPTVQ_PLATFORM_JOB_WORKER_RECORD_H_
#define GPTVQ_PLATFORM_JOB_WORKER_RECORD_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/clock.h"
#include "platform/job/task.h"

namespace gptvq {

// Whether a worker is given work; mirrors gptvq.v1.WorkerTrust, where the values are described.
enum class WorkerTrust { kTrusted, kSuspect, kQuarantined };
inline constexpr std::array kAllWorkerTrusts = {WorkerTrust::kTrusted, WorkerTrust::kSuspect,
                                                WorkerTrust::kQuarantined};

std::string_view Name(WorkerTrust trust);  // trusted, suspect, quarantined

// A task that a worker failed, lost or made no progress with.
struct WorkerFailure {
  std::string task_id;
  FailureClass failure_class = FailureClass::kTransient;
  WallTime time;
  bool refuted = false;   // the task got further on another worker since
  bool in_a_row = false;  // the worker got no further with anything since

  friend bool operator==(const WorkerFailure&, const WorkerFailure&) = default;
};

// What is remembered of a worker by its name, across restarts of both sides; one row of the journal. `revision` as in
// TaskStatus, 1 for a new row.
struct WorkerRecord {
  std::string name;
  std::int64_t revision = 0;
  WorkerTrust trust = WorkerTrust::kTrusted;
  std::vector<WorkerFailure> failures;     // oldest first
  int quarantine_count = 0;                // without a good day in between
  std::optional<WallTime> quarantine_end;  // of the latest one
  std::string reason;                      // of the quarantine or the suspicion, for people
  bool distrusted = false;  // an audit showed that it computes wrong; what it made is still to be made again

  friend bool operator==(const WorkerRecord&, const WorkerRecord&) = default;
};
inline constexpr std::size_t kMaxWorkerFailures = 16;

// Nothing is remembered: such a row is not kept.
bool IsBlank(const WorkerRecord& record);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_WORKER_RECORD_H_

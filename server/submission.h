#ifndef GPTVQ_SERVER_SUBMISSION_H_
#define GPTVQ_SERVER_SUBMISSION_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/pipeline/memory_plan.h"
#include "server/coordinator.h"
#include "server/input_probe.h"

namespace gptvq {

struct SubmissionRequest {
  std::string request_id;
  std::string owner;  // as in JobDescription
  JobSpec spec;
};

// A job that was accepted.
struct AcceptedJob {
  std::string job_id;
  std::vector<std::string> warnings;  // about its model; of a repetition: none
};

// A job that would be accepted.
struct PlannedJob {
  JobSnapshot job;  // its id is empty
  std::vector<std::string> warnings;
  MemoryPlan memory_on_cpu;
  MemoryPlan memory_on_gpu;
};

// From a client's wish to a journaled job: looks at the places it names, plans, records. Borrows both. Thread-safe.
class Submission {
 public:
  Submission(Coordinator& coordinator, InputProbe& probe) : coordinator_(coordinator), probe_(probe) {}

  // Accepts a job of `owner`, or answers the one that it was given under this request id.
  // Errors: InvalidArgument (INVALID_FIELD), NotFound (INPUT_MISSING), FailedPrecondition (MODEL_UNUSABLE), AlreadyExists
  // (IDEMPOTENCY_MISMATCH), ResourceExhausted (TOO_MANY_JOBS), Unavailable.
  absl::StatusOr<AcceptedJob> Submit(const SubmissionRequest& request);

  // What Submit would accept, without accepting it. Errors: as Submit.
  absl::StatusOr<PlannedJob> Plan(const JobSpec& spec);

 private:
  struct Prepared {
    SubmitJob event;
    ModelSummary model;
  };
  absl::StatusOr<Prepared> Prepare(const std::string& job_id, const JobSpec& spec);
  absl::Status CheckPlaces(const JobSpec& spec);

  Coordinator& coordinator_;
  InputProbe& probe_;
};

// The id that a job submitted under `request_id` gets: the same for every repetition, also before the journal knows it.
std::string JobIdFor(std::string_view request_id);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SUBMISSION_H_

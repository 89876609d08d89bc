#ifndef GPTVQ_SERVER_SUBMISSION_H_
#define GPTVQ_SERVER_SUBMISSION_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/coordinator.h"
#include "server/model_probe.h"

namespace gptvq {

// From a client's wish to a journaled job: looks at the places it names, plans, records. Borrows both. Thread-safe.
class Submission {
 public:
  Submission(Coordinator& coordinator, ModelProbe& probe) : coordinator_(coordinator), probe_(probe) {}

  // Accepts a job, or answers the one that was accepted under this request id. Returns its id.
  // Errors: InvalidArgument (INVALID_FIELD), NotFound (INPUT_MISSING), FailedPrecondition (MODEL_UNUSABLE), AlreadyExists
  // (IDEMPOTENCY_MISMATCH), ResourceExhausted (TOO_MANY_JOBS), Unavailable.
  absl::StatusOr<std::string> Submit(std::string_view request_id, const JobSpec& spec);

  // What Submit would accept, without accepting it: the job with its plan and an empty id. Errors: as Submit.
  absl::StatusOr<JobSnapshot> Plan(const JobSpec& spec);

 private:
  absl::StatusOr<SubmitJob> Prepare(const std::string& job_id, const JobSpec& spec);
  absl::Status CheckPlaces(const JobSpec& spec);

  Coordinator& coordinator_;
  ModelProbe& probe_;
};

// The id that a job submitted under `request_id` gets: the same for every repetition, also before the journal knows it.
std::string JobIdFor(std::string_view request_id);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SUBMISSION_H_

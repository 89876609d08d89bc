#ifndef GPTVQ_PLATFORM_JOB_STORE_SCHEMA_STEPS_H_
#define GPTVQ_PLATFORM_JOB_STORE_SCHEMA_STEPS_H_

#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace gptvq {

// How every database of the job store comes to the newest schema: numbered steps of SQL, forward only. Step n, from 1, brings
// schema n - 1 to n; a released step is never changed. `version` is where the database stands, 0 for an empty one;
// `run_step` runs the SQL of a step and records its number, both or neither. Pure but for that.
// Errors: FailedPrecondition when the database is newer than the steps, naming both numbers; those of `run_step`.
absl::Status RunSchemaSteps(std::int64_t version, std::span<const char* const> steps,
                            absl::FunctionRef<absl::Status(std::int64_t step, const char* sql)> run_step);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_SCHEMA_STEPS_H_

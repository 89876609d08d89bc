#include "platform/job_store/schema_steps.h"

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {

absl::Status RunSchemaSteps(std::int64_t version, std::span<const char* const> steps,
                            absl::FunctionRef<absl::Status(std::int64_t step, const char* sql)> run_step) {
  const auto newest = static_cast<std::int64_t>(steps.size());
  if (version > newest) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the database has schema ", version, ", this version reads up to ", newest, "; start a newer coordinator"));
  }
  for (std::int64_t step = version + 1; step <= newest; ++step) {
    GPTVQ_RETURN_IF_ERROR(WithContext(run_step(step, steps[step - 1]), absl::StrCat("schema step ", step)));
  }
  return absl::OkStatus();
}

}  // namespace gptvq

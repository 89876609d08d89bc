#ifndef GPTVQ_PLATFORM_JOB_STORE_ROW_VALUES_H_
#define GPTVQ_PLATFORM_JOB_STORE_ROW_VALUES_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "platform/job/task.h"
#include "platform/job_store/sql_database.h"

namespace gptvq {

// Single values of the rows of job_rows.h and task_rows.h. Errors: DataLoss for what no version of this program wrote.

// The enum value that is written as its name.
template <typename Enums>
absl::StatusOr<typename Enums::value_type> ParseName(const Enums& all, const std::string& text) {
  for (const auto value : all) {
    if (Name(value) == text) return value;
  }
  return absl::DataLossError(absl::StrCat("unknown value '", text, "' in the journal"));
}

// "$first,$first+1,...", `count` of them.
std::string Placeholders(int count, int first);

void BindFailure(const std::optional<TaskFailure>& failure, SqlStatement& statement);
absl::StatusOr<std::optional<TaskFailure>> ReadFailure(SqlRow& row);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_ROW_VALUES_H_

#include "platform/job_store/row_values.h"

#include "core/base/status_macros.h"
#include "platform/rpc/record_codec.h"

namespace gptvq {

std::string Placeholders(int count, int first) {
  std::string text;
  for (int i = 0; i < count; ++i) absl::StrAppend(&text, i == 0 ? "$" : ",$", first + i);
  return text;
}

void BindFailure(const std::optional<TaskFailure>& failure, SqlStatement& statement) {
  failure ? statement.BindBlob(EncodeTaskFailure(*failure)) : statement.BindNull();
}

absl::StatusOr<std::optional<TaskFailure>> ReadFailure(SqlRow& row) {
  if (row.IsNull()) {
    row.Skip();
    return std::nullopt;
  }
  GPTVQ_ASSIGN_OR_RETURN(TaskFailure failure, DecodeTaskFailure(row.Bytes()));
  return std::optional(std::move(failure));
}

}  // namespace gptvq

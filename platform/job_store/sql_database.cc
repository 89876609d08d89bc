#include "platform/job_store/sql_database.h"

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {

SqlStatement& SqlStatement::Bind(std::int64_t value) {
  values_.emplace_back(value);
  return *this;
}

SqlStatement& SqlStatement::Bind(std::string_view text) {
  values_.emplace_back(std::in_place_type<std::string>, text);
  return *this;
}

SqlStatement& SqlStatement::Bind(const std::optional<std::int64_t>& value) { return value ? Bind(*value) : BindNull(); }

SqlStatement& SqlStatement::BindBlob(std::string bytes) {
  values_.emplace_back(SqlBlob{std::move(bytes)});
  return *this;
}

SqlStatement& SqlStatement::BindNull() {
  values_.emplace_back();
  return *this;
}

absl::Status SqlStatement::CheckChangedRows(std::int64_t changed_rows) const {
  if (!guarded_subject_ || changed_rows == 1) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat(*guarded_subject_, " was changed by somebody else"));
}

std::int64_t SqlRow::Integer() {
  const auto* value = column_ < values_.size() ? std::get_if<std::int64_t>(&values_[column_]) : nullptr;
  ++column_;
  return value == nullptr ? 0 : *value;
}

std::optional<std::int64_t> SqlRow::OptionalInteger() {
  if (!IsNull()) return Integer();
  Skip();
  return std::nullopt;
}

std::string SqlRow::Bytes() {
  if (column_ >= values_.size()) return "";
  SqlValue& value = values_[column_++];
  if (auto* text = std::get_if<std::string>(&value)) return std::move(*text);
  if (auto* blob = std::get_if<SqlBlob>(&value)) return std::move(blob->bytes);
  return "";
}

bool SqlRow::IsNull() const {
  return column_ >= values_.size() || std::holds_alternative<std::monostate>(values_[column_]);
}

absl::StatusOr<SqlRows> SqlDatabase::Run(const SqlStatement& statement) {
  GPTVQ_ASSIGN_OR_RETURN(std::vector<SqlRows> answers, RunAll({statement}));
  return std::move(answers.front());
}

absl::StatusOr<std::int64_t> SqlDatabase::QueryInteger(std::string_view text) {
  GPTVQ_ASSIGN_OR_RETURN(SqlRows rows, Run(SqlStatement(std::string(text))));
  return rows.empty() ? 0 : rows.front().Integer();
}

}  // namespace gptvq

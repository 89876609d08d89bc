#include "client/report/job_report.h"

#include "absl/strings/str_cat.h"

namespace gptvq {

std::optional<double> MeanRelativeError(const Report& report) {
  if (report.linears.empty()) return std::nullopt;
  double sum = 0;
  for (const LinearReport& linear : report.linears) sum += linear.relative_error;
  return sum / static_cast<double>(report.linears.size());
}

double BitsPerWeight(const Report& report, std::int64_t bits) {
  if (report.bits.weights == 0) return 0;
  return static_cast<double>(bits) / static_cast<double>(report.bits.weights);
}

std::string AuditSummary(const AuditCounts& audits) {
  std::string text;
  for (const auto& [outcome, count] : audits) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", count, " ", std::string(Name(outcome)));
  }
  return text;
}

}  // namespace gptvq

#include "client/report/job_report.h"

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

}  // namespace gptvq

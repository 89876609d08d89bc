#ifndef GPTVQ_CLIENT_REPORT_JOB_REPORT_H_
#define GPTVQ_CLIENT_REPORT_JOB_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "platform/job/report.h"

namespace gptvq {

// What came out of a job, printed. Pure. Parts that are not known yet are left out (text, HTML) or null (JSON).

// For people, about 100 columns wide.
std::string TextReport(const Report& report);
// One JSON object; the keys are documented in docs/cli.md.
std::string JsonReport(const Report& report);
// One self-contained page: no script, no font and no picture from elsewhere.
std::string HtmlReport(const Report& report);

// Arithmetic mean of the linears' relative errors; nullopt when there is no linear.
std::optional<double> MeanRelativeError(const Report& report);

// Bits per weight that one part of the stored bits takes; 0 while nothing is quantized.
double BitsPerWeight(const Report& report, std::int64_t bits);

// "3 agreed, 1 skipped"; empty when no audit ended.
std::string AuditSummary(const AuditCounts& audits);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_REPORT_JOB_REPORT_H_

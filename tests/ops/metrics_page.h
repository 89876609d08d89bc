#ifndef GPTVQ_TESTS_OPS_METRICS_PAGE_H_
#define GPTVQ_TESTS_OPS_METRICS_PAGE_H_

#include <string>

namespace gptvq {

// docs/metrics.md, from what the binaries register. Every label needs a meaning in metrics_page.cc: a label without one
// ends the process.
std::string MetricsPage();

}  // namespace gptvq

#endif  // GPTVQ_TESTS_OPS_METRICS_PAGE_H_

#ifndef GPTVQ_CLIENT_STATUS_JSON_H_
#define GPTVQ_CLIENT_STATUS_JSON_H_

#include <string>
#include <vector>

#include "client/job_view.h"

namespace gptvq {

// Jobs and workers as JSON texts ending in a newline, for scripts. The keys are documented in docs/cli.md.
std::string JobJson(const JobView& job);
std::string JobsJson(const std::vector<JobView>& jobs);
std::string WorkersJson(const std::vector<WorkerView>& workers);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_STATUS_JSON_H_

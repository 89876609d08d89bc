#include "platform/job/worker_record.h"

namespace gptvq {

std::string_view Name(WorkerTrust trust) {
  switch (trust) {
    case WorkerTrust::kTrusted: return "trusted";
    case WorkerTrust::kSuspect: return "suspect";
    case WorkerTrust::kQuarantined: return "quarantined";
  }
  return "";
}

bool IsBlank(const WorkerRecord& record) {
  return record.trust == WorkerTrust::kTrusted && record.failures.empty() && !record.quarantine_end &&
         !record.distrusted;
}

}  // namespace gptvq

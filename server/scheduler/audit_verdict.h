#ifndef GPTVQ_SERVER_SCHEDULER_AUDIT_VERDICT_H_
#define GPTVQ_SERVER_SCHEDULER_AUDIT_VERDICT_H_

#include <cstddef>
#include <vector>

#include "absl/types/span.h"
#include "platform/job/task_audit.h"

namespace gptvq {

// What the answers for one audited task show. Pure.

// Equal bytes, whoever computed them.
bool IsSame(const AuditAnswer& a, const AuditAnswer& b);
// How many layers two answers agree in before they differ; all of them where only the boundaries do.
std::size_t CommonLayers(const AuditAnswer& a, const AuditAnswer& b);

enum class AuditFinding {
  kAgreed,          // what was published is what most came to
  kAskAnother,      // two answers, and they differ
  kPublishedWrong,  // most came to something else than what was published
  kUndecided,       // nobody agrees with anybody
};

struct AuditVerdict {
  AuditFinding finding = AuditFinding::kAskAnother;
  std::size_t agreed = 0;             // an answer that most came to; with kAgreed and kPublishedWrong
  std::vector<std::size_t> minority;  // answers that most others contradict, ascending
};

// Judges the answers for one task, that of the published result first, each by another worker. Two equal answers decide; a third
// one is asked for where two differ, not a fourth. Precondition: at least two.
AuditVerdict JudgeAnswers(absl::Span<const AuditAnswer> answers);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_SCHEDULER_AUDIT_VERDICT_H_

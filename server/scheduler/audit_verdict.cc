#include "server/scheduler/audit_verdict.h"

#include <algorithm>

namespace gptvq {
namespace {

constexpr std::size_t kMostAnswers = 3;

}  // namespace

bool IsSame(const AuditAnswer& a, const AuditAnswer& b) {
  return a.layers == b.layers && a.output_boundary == b.output_boundary;
}

std::size_t CommonLayers(const AuditAnswer& a, const AuditAnswer& b) {
  const auto differ = std::mismatch(a.layers.begin(), a.layers.end(), b.layers.begin(), b.layers.end());
  return static_cast<std::size_t>(differ.first - a.layers.begin());
}

AuditVerdict JudgeAnswers(absl::Span<const AuditAnswer> answers) {
  AuditVerdict verdict;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto same = std::count_if(answers.begin(), answers.end(),
                                    [&](const AuditAnswer& other) { return IsSame(answers[i], other); });
    if (same < 2) continue;
    verdict.agreed = i;
    verdict.finding = IsSame(answers[i], answers.front()) ? AuditFinding::kAgreed : AuditFinding::kPublishedWrong;
    break;
  }
  if (verdict.finding == AuditFinding::kAskAnother) {
    if (answers.size() >= kMostAnswers) verdict.finding = AuditFinding::kUndecided;
    return verdict;
  }
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (!IsSame(answers[i], answers[verdict.agreed])) verdict.minority.push_back(i);
  }
  return verdict;
}

}  // namespace gptvq

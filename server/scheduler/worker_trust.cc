#include "server/scheduler/worker_trust.h"

#include <algorithm>
#include <set>
#include <utility>

namespace gptvq {
namespace {

constexpr std::chrono::hours kEvidenceLifetime(1);
constexpr std::chrono::hours kGoodDay(24);  // after which an earlier quarantine does not lengthen the next
constexpr int kQuarantinePercent = 30;

bool IsFresh(const WorkerFailure& failure, WallTime now) { return now - failure.time <= kEvidenceLifetime; }

template <typename Predicate>
int CountTasks(const WorkerRecord& record, const Predicate& counts) {
  std::set<std::string_view> tasks;
  for (const WorkerFailure& failure : record.failures) {
    if (counts(failure)) tasks.insert(failure.task_id);
  }
  return static_cast<int>(tasks.size());
}

}  // namespace

WorkerTrust TrustAt(const WorkerStanding& standing, MonotonicTime now) {
  const bool over = standing.record.trust == WorkerTrust::kQuarantined && now >= standing.quarantine_end;
  return over ? WorkerTrust::kTrusted : standing.record.trust;
}

WorkerTrust TrustOf(const WorkerStandings& standings, std::string_view name, MonotonicTime now) {
  const auto standing = standings.find(name);
  return standing == standings.end() ? WorkerTrust::kTrusted : TrustAt(standing->second, now);
}

int QuarantineAllowance(int fleet) {
  if (fleet < 2) return 0;
  return std::max(1, fleet * kQuarantinePercent / 100);
}

bool SpeaksAgainstWorker(FailureClass failure_class) {
  switch (failure_class) {
    case FailureClass::kTransient:
    case FailureClass::kDevice:
    case FailureClass::kBug: return true;
    case FailureClass::kInfra:
    case FailureClass::kInput:
    case FailureClass::kFatal: return false;
  }
  return false;
}

int FailedInARow(const WorkerRecord& record, WallTime now, absl::FunctionRef<bool(std::string_view task_id)> possible) {
  return CountTasks(record, [&](const WorkerFailure& failure) {
    return failure.in_a_row && IsFresh(failure, now) && (failure.refuted || possible(failure.task_id));
  });
}

int RefutedFailures(const WorkerRecord& record, WallTime now) {
  return CountTasks(record, [&](const WorkerFailure& failure) { return failure.refuted && IsFresh(failure, now); });
}

const WorkerRecord* TrustStep::Find(std::string_view name) const {
  const auto changed = changed_.find(name);
  if (changed != changed_.end()) return &changed->second;
  const auto standing = standings_.find(name);
  return standing == standings_.end() ? nullptr : &standing->second.record;
}

WorkerTrust TrustStep::TrustOf(std::string_view name) const {
  const auto changed = changed_.find(name);
  return changed == changed_.end() ? gptvq::TrustOf(standings_, name, now_.monotonic) : changed->second.trust;
}

void TrustStep::AddFailure(const std::string& name, const std::string& task_id, FailureClass failure_class) {
  if (TrustOf(name) == WorkerTrust::kQuarantined) return;
  if (Find(name) == nullptr) ForgetOneThatIsStale();
  std::vector<WorkerFailure>& failures = Change(name).failures;
  std::erase_if(failures, [&](const WorkerFailure& one) { return one.task_id == task_id || !IsFresh(one, now_.wall); });
  if (failures.size() == kMaxWorkerFailures) failures.erase(failures.begin());
  failures.push_back({task_id, failure_class, now_.wall, false, true});
}

void TrustStep::Refute(const std::string& name, const std::string& task_id) {
  const WorkerRecord* record = Find(name);
  if (record == nullptr) return;
  const auto refuted = [&](const WorkerFailure& one) { return one.task_id == task_id && !one.refuted; };
  if (std::none_of(record->failures.begin(), record->failures.end(), refuted)) return;
  for (WorkerFailure& failure : Change(name).failures) failure.refuted |= failure.task_id == task_id;
}

void TrustStep::AddSuccess(const std::string& name) {
  const WorkerRecord* record = Find(name);
  if (record == nullptr) return;
  if (record->trust == WorkerTrust::kSuspect) return Clear(name);
  const auto in_a_row = [](const WorkerFailure& failure) { return failure.in_a_row; };
  if (std::none_of(record->failures.begin(), record->failures.end(), in_a_row)) return;
  for (WorkerFailure& failure : Change(name).failures) failure.in_a_row = false;
}

void TrustStep::Quarantine(const std::string& name, const TrustOptions& options, std::string reason) {
  WorkerRecord& record = Change(name);
  if (record.quarantine_end && now_.wall - *record.quarantine_end > kGoodDay) record.quarantine_count = 0;
  const std::int64_t longest = options.longest_quarantine.count();
  const std::int64_t duration =
      std::min(longest, options.first_quarantine.count() << std::min(record.quarantine_count, 20));
  ++record.quarantine_count;
  record.trust = WorkerTrust::kQuarantined;
  record.quarantine_end = now_.wall + std::chrono::milliseconds(duration);
  record.reason = std::move(reason);
  record.failures.clear();
}

void TrustStep::Suspect(const std::string& name, std::string reason) {
  WorkerRecord& record = Change(name);
  record.trust = WorkerTrust::kSuspect;
  record.reason = std::move(reason);
}

void TrustStep::Clear(const std::string& name) {
  WorkerRecord& record = Change(name);
  const WorkerRecord before = record;
  record = {};
  record.name = name;
  record.revision = before.revision;
  record.distrusted = before.distrusted;
}

void TrustStep::Distrust(const std::string& name) { Change(name).distrusted = true; }

void TrustStep::EndDistrust(const std::string& name) { Change(name).distrusted = false; }

std::vector<WorkerRecord> TrustStep::Finish() {
  std::vector<WorkerRecord> records;
  for (auto& [name, record] : changed_) {
    ++record.revision;
    records.push_back(std::move(record));
  }
  return records;
}

WorkerRecord& TrustStep::Change(const std::string& name) {
  const auto [changed, is_new] = changed_.try_emplace(name);
  WorkerRecord& record = changed->second;
  if (!is_new) return record;
  const auto standing = standings_.find(name);
  if (standing != standings_.end()) {
    record = standing->second.record;
    record.trust = TrustAt(standing->second, now_.monotonic);
  }
  record.name = name;
  return record;
}

// So that records of workers that never come back do not pile up: one goes for each that comes.
void TrustStep::ForgetOneThatIsStale() {
  for (const auto& [name, standing] : standings_) {
    const WorkerRecord& record = standing.record;
    const bool fresh = std::any_of(record.failures.begin(), record.failures.end(),
                                   [&](const WorkerFailure& failure) { return IsFresh(failure, now_.wall); });
    const bool good = !record.quarantine_end || now_.wall - *record.quarantine_end > kGoodDay;
    if (!fresh && good && !record.distrusted && TrustAt(standing, now_.monotonic) == WorkerTrust::kTrusted)
      return Clear(name);
  }
}

}  // namespace gptvq

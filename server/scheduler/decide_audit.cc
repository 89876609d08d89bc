// Tasks that are done a second time by another worker, and what follows where the two differ (docs/protocol.md, "Audits").

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "platform/job/error_reason.h"
#include "server/scheduler/audit_verdict.h"
#include "server/scheduler/held_work.h"
#include "server/scheduler/job_step.h"
#include "server/scheduler/overturned_work.h"
#include "server/scheduler/scheduler.h"

namespace gptvq {
namespace {

// What is published of a committed task, as an answer.
AuditAnswer PublishedAnswer(const JobSnapshot& job, const TaskDescription& task, const TaskStatus& status) {
  AuditAnswer answer = {"", {}, OutputBoundary(*status.result)};
  const auto begin = job.layers.begin() + task.layers.begin;
  if (task.kind == TaskKind::kQuantize) answer.layers.assign(begin, begin + task.layers.count());
  return answer;
}

std::set<std::string> Distrusted(const WorkerStandings& standings) {
  std::set<std::string> names;
  for (const auto& [name, standing] : standings) {
    if (standing.record.distrusted) names.insert(name);
  }
  return names;
}

// Who gave the answers that most contradict. What several had a part in is nobody's fault for sure.
std::set<std::string> Convicts(const std::vector<AuditAnswer>& answers, const AuditVerdict& verdict,
                               const std::set<std::string>& authors) {
  std::set<std::string> names;
  for (std::size_t i : verdict.minority) {
    if (i > 0) names.insert(answers[i].worker_name);
    if (i == 0 && authors.size() == 1) names.insert(*authors.begin());
  }
  return names;
}

// For people.
std::string Conflict(std::string_view audited_id, const std::vector<LayerAuthor>& authors,
                     const std::vector<AuditAnswer>& answers) {
  std::set<std::string> names;
  for (const LayerAuthor& author : authors) names.insert(author.worker_name);
  for (const AuditAnswer& answer : answers) names.insert(answer.worker_name);
  names.erase("");
  return absl::StrCat("NONDETERMINISM: ", std::string(audited_id), " came out differently on ",
                      absl::StrJoin(names, ", "));
}

}  // namespace

bool Scheduler::MayAudit(const JobSnapshot& job, const Task& audit, const std::string& name) const {
  const std::vector<AuditAnswer>& answers = audit.status.audit.answers;
  return !HasPart(job.tasks[*AuditedBy(audit.description)].status.audit.authors, name) &&
         std::none_of(answers.begin(), answers.end(),
                      [&](const AuditAnswer& answer) { return answer.worker_name == name; });
}

bool Scheduler::IsSortingOut() const {
  return std::any_of(standings_.begin(), standings_.end(),
                     [](const auto& one) { return one.second.record.distrusted; });
}

bool Scheduler::HasAnswered(const FoundTask& found, const CompleteTask& event) const {
  if (!AuditedBy(found.task->description)) return false;
  const std::vector<AuditAnswer>& answers = found.task->status.audit.answers;
  return std::any_of(answers.begin(), answers.end(), [&](const AuditAnswer& answer) {
    return answer.worker_name == event.lease.worker_name && answer.output_boundary == OutputBoundary(event.result);
  });
}

absl::StatusOr<Decision> Scheduler::TakeAuditedLayer(const FoundTask& found, const PublishLayer& event,
                                                     Decision decision, Instant now) const {
  const Task& task = *found.task;
  const int layer = event.layer.layer;
  const int next = NextLayer(*found.job, task);
  if (layer < next) {
    const Digest& before = task.status.audit.layers[layer - task.description.layers.begin];
    if (before != event.layer.artifact) {
      return Refuse(ErrorReason::kLayerConflict, absl::StrCat("layer ", layer, " was published as ", before.hex(),
                                                              ", now comes ", event.layer.artifact.hex()));
    }
    decision.outcome = Outcome::kRepeated;
    return decision;
  }
  if (layer > next) {
    return Refuse(ErrorReason::kLayerOutOfOrder,
                  absl::StrCat("layer ", layer, " comes before layer ", next, " is published"));
  }
  JobStep step(*found.job, now.wall);
  TrustStep trust(standings_, now);
  TaskStatus& status = step.MoveTask(found.key.index, TaskTrigger::kPublish);
  status.failed_attempts = NoteSuccess(found, trust, now);
  status.failures = {};
  status.repair.missing_inputs = 0;
  status.audit.layers.push_back(event.layer.artifact);
  decision.transition = step.Finish();
  decision.transition.workers = trust.Finish();
  decision.lease = ExtendedLease(found.key, now);
  return decision;
}

void Scheduler::TakeAnswer(const FoundTask& found, const CompleteTask& event, JobStep& step, Findings& findings,
                           TrustStep& trust) const {
  const int index = found.key.index;
  const int audited = *AuditedBy(found.task->description);
  const AuditAnswer answer = {event.lease.worker_name, found.task->status.audit.layers, OutputBoundary(event.result)};
  const bool own = HasPart(step.StatusOf(audited).audit.authors, event.lease.worker_name);
  if (own || step.StatusOf(audited).state != TaskState::kCommitted) {
    // Made again by this very worker meanwhile, or being made again: the answer is kept until there is something to compare.
    TaskStatus& status = step.MoveTask(index, own ? TaskTrigger::kDispute : TaskTrigger::kAwait);
    status.audit.layers.clear();
    if (!own) status.audit.answers.push_back(answer);
    return;
  }
  JudgeAudit(*found.job, index, &answer, step, findings, trust);
}

void Scheduler::JudgeAudit(const JobSnapshot& job, int index, const AuditAnswer* latest, JobStep& step,
                           Findings& findings, TrustStep& trust) const {
  const TaskDescription& audited = job.tasks[*AuditedBy(job.tasks[index].description)].description;
  const TaskStatus published = step.StatusOf(audited.index);
  AuditStatus audit = step.StatusOf(index).audit;
  if (latest != nullptr) audit.answers.push_back(*latest);
  std::erase_if(audit.answers,
                [&](const AuditAnswer& one) { return HasPart(published.audit.authors, one.worker_name); });
  audit.layers.clear();
  if (audit.answers.empty()) return;
  std::vector<AuditAnswer> answers = {PublishedAnswer(job, audited, published)};
  answers.insert(answers.end(), audit.answers.begin(), audit.answers.end());
  const AuditVerdict verdict = JudgeAnswers(answers);
  const bool held = latest != nullptr;
  const auto move = [&](TaskTrigger trigger, std::optional<TaskFailure> failure = std::nullopt) {
    TaskStatus& status = step.MoveTask(index, trigger, std::move(failure));
    status.audit = audit;
    if (status.state == TaskState::kCommitted) status.repair = {};
    if (trigger == TaskTrigger::kOverturn) BeginAnew(status);
  };
  const std::size_t common = CommonLayers(answers.front(), answers[verdict.agreed]);
  const int from =
      common < answers.front().layers.size() ? audited.layers.begin + static_cast<int>(common) : audited.layers.end;
  const std::string conflict = Conflict(audited.task_id, published.audit.authors, answers);
  switch (verdict.finding) {
    case AuditFinding::kAgreed:
      if (audit.outcome != AuditOutcome::kOverturned) {
        audit.outcome = verdict.minority.empty() ? AuditOutcome::kAgreed : AuditOutcome::kUpheld;
        findings.push_back(*audit.outcome);
      }
      move(held ? TaskTrigger::kCommit : TaskTrigger::kSettle);
      break;
    case AuditFinding::kAskAnother:
      if (held) move(TaskTrigger::kDispute, TaskFailure{FailureClass::kDevice, conflict, latest->worker_name});
      return;
    case AuditFinding::kPublishedWrong:
      audit.outcome = AuditOutcome::kOverturned;
      findings.push_back(*audit.outcome);
      move(held ? TaskTrigger::kAwait : TaskTrigger::kOverturn, TaskFailure{FailureClass::kDevice, conflict, ""});
      Overturn(job, audited.index, from, conflict, step);
      break;
    case AuditFinding::kUndecided:
      audit.outcome = AuditOutcome::kUndecided;
      findings.push_back(*audit.outcome);
      move(TaskTrigger::kFail, TaskFailure{FailureClass::kDevice, conflict + ", and no two of them agree", ""});
      return;
  }
  Convict(Convicts(answers, verdict, AuthorsOf(published.audit.authors, from)), job, index, step, trust);
}

void Scheduler::Convict(const std::set<std::string>& workers, const JobSnapshot& job, int audit, JobStep& step,
                        TrustStep& trust) const {
  if (workers.empty()) return;
  for (const std::string& name : workers) {
    trust.Distrust(name);
    if (trust.TrustOf(name) != WorkerTrust::kTrusted) continue;
    const Fleet fleet = FleetOf(job.status.numerics_class, name, trust);
    if (fleet.present < 2) continue;
    const std::string reason =
        absl::StrCat("came to other bytes than two others, as ", job.tasks[audit].description.task_id, " showed");
    if (fleet.quarantined < QuarantineAllowance(fleet.present)) {
      trust.Quarantine(name, options_.trust, reason);
    } else {
      trust.Suspect(name, reason);
    }
  }
  OverturnWorkOf(job, workers, AuditedBy(job.tasks[audit].description), step);
}

void Scheduler::CompareWithBefore(const FoundTask& found, JobStep& step, Findings& findings, TrustStep& trust) const {
  const JobSnapshot& job = *found.job;
  const int index = found.key.index;
  const std::optional<TaskResult>& before = found.task->status.result;
  if (before && OutputBoundary(*before) != OutputBoundary(*step.StatusOf(index).result)) {
    OverturnReaders(job, index, step);
  }
  const std::optional<int> audit = AuditOf(job, index);
  if (audit && step.StatusOf(*audit).state == TaskState::kBlocked && !step.StatusOf(*audit).audit.answers.empty()) {
    JudgeAudit(job, *audit, nullptr, step, findings, trust);
  }
}

TaskTrigger Scheduler::EndOfFailedTask(const Task& task, TaskTrigger trigger) {
  const bool over = trigger == TaskTrigger::kFail || trigger == TaskTrigger::kPoison;
  const bool dispensable = AuditedBy(task.description) && task.status.audit.answers.empty();
  return over && dispensable ? TaskTrigger::kSettle : trigger;
}

void Scheduler::NoteGivenUp(TaskStatus& status, Findings& findings) {
  if (status.state != TaskState::kCommitted) return;
  status.audit.outcome = AuditOutcome::kGivenUp;
  status.audit.layers.clear();
  status.repair = {};
  findings.push_back(AuditOutcome::kGivenUp);
}

// What nobody can be asked about. One without a doubt is not audited; where two came to different bytes nobody can vouch for either.
std::optional<Decision> Scheduler::SettleAnAudit(Instant now) const {
  for (const auto& [key, rest] : ready_) {
    const JobSnapshot& job = jobs_.at(key.sequence);
    const Task& audit = job.tasks[key.index];
    if (!AuditedBy(audit.description)) continue;
    const std::string& numerics_class = job.status.numerics_class;
    const bool disputed = !audit.status.audit.answers.empty();
    const auto patience = disputed ? options_.dispute_patience : options_.audit_patience;
    if (now.monotonic < std::max(rest.until, heard_since_) + patience || IsStopped(numerics_class)) continue;
    const bool may_come = AnotherWorkerOf(numerics_class, {}, now.monotonic, [&](const std::string& name) {
      return MayAudit(job, audit, name) && !HasFailedInARow(name, now.wall);
    });
    if (may_come) continue;
    Decision decision;
    decision.task_id = audit.description.task_id;
    decision.key = key;
    JobStep step(job, now.wall);
    const AuditOutcome outcome = disputed ? AuditOutcome::kUndecided : AuditOutcome::kSkipped;
    const Task& audited = job.tasks[*AuditedBy(audit.description)];
    const std::string why =
        disputed ? absl::StrCat(
                       Conflict(audited.description.task_id, audited.status.audit.authors, audit.status.audit.answers),
                       ", and there is no other worker of class ", numerics_class, " to decide")
                 : absl::StrCat("there is no other worker of class ", numerics_class, " to audit ",
                                audited.description.task_id);
    const TaskFailure failure = {disputed ? FailureClass::kDevice : FailureClass::kInfra, why, ""};
    TaskStatus& status = step.MoveTask(key.index, disputed ? TaskTrigger::kFail : TaskTrigger::kSettle, failure);
    status.audit.outcome = outcome;
    if (!disputed) status.repair = {};
    decision.findings.push_back(outcome);
    decision.transition = step.Finish();
    return decision;
  }
  return std::nullopt;
}

// What a convicted worker made of other jobs, one job in a step.
std::optional<Decision> Scheduler::OverturnDistrustedWork(Instant now) const {
  const std::set<std::string> workers = Distrusted(standings_);
  if (workers.empty()) return std::nullopt;
  Decision decision;
  for (const auto& [sequence, job] : jobs_) {
    JobStep step(job, now.wall);
    if (OverturnWorkOf(job, workers, std::nullopt, step) == 0) continue;
    decision.transition = step.Finish();
    return decision;
  }
  TrustStep trust(standings_, now);
  for (const std::string& name : workers) trust.EndDistrust(name);
  decision.transition.workers = trust.Finish();
  decision.distrust_ended = true;
  return decision;
}

}  // namespace gptvq

// What the checker knows of audits: who may do them, what they may conclude, and which bytes are wrong in truth (docs/protocol.md,
// "Audits").

#include <algorithm>

#include "tests/sim/sim_artifacts.h"
#include "tests/sim/sim_checker.h"

namespace gptvq {
namespace {

bool IsMaker(const Task& task) {
  return task.description.kind == TaskKind::kCapture || task.description.kind == TaskKind::kQuantize;
}

bool IsVerdict(const std::optional<AuditOutcome>& outcome) {
  return outcome == AuditOutcome::kAgreed || outcome == AuditOutcome::kUpheld || outcome == AuditOutcome::kOverturned;
}

// The task in which an error happened; see ScriptedWorker::Taint.
std::string TaskOfOrigin(const std::string& origin) { return origin.substr(0, origin.find(' ')); }

}  // namespace

std::vector<std::string> SimChecker::OriginsOf(const Digest& artifact) const {
  const auto wrong = wrong_.find(artifact);
  return wrong == wrong_.end() ? std::vector<std::string>() : wrong->second;
}

bool SimChecker::HasTrigger(const Transition& transition, const std::string& task_id, TaskTrigger trigger) {
  return std::any_of(transition.events.begin(), transition.events.end(), [&](const JobEvent& event) {
    const auto* task = std::get_if<TaskStateChange>(&event.what);
    return task != nullptr && task->trigger == trigger && (task_id.empty() || task->task_id == task_id);
  });
}

// Whether work is thrown away in it, or an audit ends otherwise than by its holder's word.
bool SimChecker::IsAuditStep(const Transition& transition) {
  return HasTrigger(transition, "", TaskTrigger::kOverturn) || HasTrigger(transition, "", TaskTrigger::kSettle) ||
         HasTrigger(transition, "", TaskTrigger::kFail);
}

// By who truly published, kept and committed, whatever the scheduler noted.
void SimChecker::NoteParts(Known& known, const Transition& transition) {
  const auto* publish = std::get_if<PublishLayer>(event_);
  const auto* checkpoint = std::get_if<CheckpointTask>(event_);
  const auto* complete = std::get_if<CompleteTask>(event_);
  for (const Transition::TaskChange& change : transition.tasks) {
    const Task& task = known.job.tasks[change.index];
    const std::string& id = task.description.task_id;
    Watch& watch = known.watches[change.index];
    const LayerRange range = task.description.layers;
    if (publish != nullptr && publish->lease.task_id == id && transition.layer) {
      watch.parts[publish->layer.layer].insert(publish->lease.worker_name);
    }
    const bool is_first = checkpoint != nullptr && known.job.layers[checkpoint->checkpoint.layer] == Digest();
    if (is_first && checkpoint->lease.task_id == id) {
      watch.parts[checkpoint->checkpoint.layer].insert(checkpoint->lease.worker_name);
    }
    if (complete != nullptr && complete->lease.task_id == id) {
      if (AuditedBy(task.description)) watch.answered.insert(complete->lease.worker_name);
      const bool new_boundary = !task.status.result || task.status.audit.may_differ;
      if (IsMaker(task) && task.description.output_boundary_wanted && new_boundary) {
        watch.parts[range.end] = {complete->lease.worker_name};
      }
    }
    if (!HasTrigger(transition, id, TaskTrigger::kOverturn)) continue;
    if (change.status.audit.answers.empty()) watch.answered.clear();
    int from = range.begin;  // the first layer that is not published any more
    const auto stays = [&](int layer) {
      return known.job.layers[layer] != Digest() &&
             std::find(transition.overturned_layers.begin(), transition.overturned_layers.end(), layer) ==
                 transition.overturned_layers.end();
    };
    while (task.description.kind == TaskKind::kQuantize && from < range.end && stays(from)) ++from;
    if (task.description.kind == TaskKind::kCapture) from = range.end;
    watch.parts.erase(watch.parts.lower_bound(from), watch.parts.end());
  }
}

bool SimChecker::MayAudit(const Known& known, const Task& audit, const std::string& worker) const {
  const auto& parts = known.watches[*AuditedBy(audit.description)].parts;
  return !known.watches[audit.description.index].answered.contains(worker) &&
         std::none_of(parts.begin(), parts.end(), [&](const auto& part) { return part.second.contains(worker); });
}

void SimChecker::CheckAudit(const Known& known, const Task& before, const TaskStatus& after,
                            const Transition& transition) {
  const std::string& id = before.description.task_id;
  const std::optional<int> audited = AuditedBy(before.description);
  if (!audited) {
    Require(Invariant::kAudit,
            before.description.kind != TaskKind::kFinalize || after.state != TaskState::kLeased ||
                std::none_of(workers_.begin(), workers_.end(),
                             [](const auto& entry) { return entry.second.record.distrusted; }),
            id, " was granted before the work of one that computes wrong was made again");
    return;
  }
  if (after.state == TaskState::kLeased && before.status.state != TaskState::kLeased) {
    Require(Invariant::kAudit, MayAudit(known, before, after.worker_name), id, " was granted to ", after.worker_name,
            ", which has no other opinion to offer");
    Require(Invariant::kAudit, after.audit.layers.empty(), id, " begins with the answer of somebody else");
  }
  const auto outcome = after.audit.outcome;
  if (outcome && outcome != before.status.audit.outcome) ++audits_[static_cast<std::size_t>(*outcome)];
  Require(Invariant::kAudit, after.state != TaskState::kFailed || !after.audit.answers.empty(), id,
          " fails its job although nothing speaks against what it audits");
  if (after.state != TaskState::kCommitted) return;
  Require(Invariant::kAudit, outcome.has_value(), id, " ended without an outcome");
  if (outcome == AuditOutcome::kSkipped) {
    const Watch& watch = known.watches[before.description.index];
    const std::string& own_class = known.job.status.numerics_class;
    const bool may_come = HasAnotherWorker(own_class, "", [&](const std::string& name) {
      return MayAudit(known, before, name) && FailedTasks(name, [](const Blame& blame) { return blame.in_a_row; }) < 3;
    });
    Require(Invariant::kAudit, !may_come && now() - watch.ready_since >= options_.audit_patience, id,
            " was skipped although somebody could have done it");
  }
  if (!IsVerdict(outcome)) return;
  // Two that are wrong are never wrong alike, so what two came to is right, of what they read.
  const Task& task = known.job.tasks[*audited];
  const auto change = std::find_if(transition.tasks.begin(), transition.tasks.end(),
                                   [&](const auto& one) { return one.index == *audited; });
  const TaskStatus& status = change == transition.tasks.end() ? task.status : change->status;
  std::vector<Digest> published;
  if (status.result && OutputBoundary(*status.result)) published.push_back(*OutputBoundary(*status.result));
  for (int layer = task.description.layers.begin; layer < task.description.layers.end; ++layer) {
    if (task.description.kind == TaskKind::kQuantize) published.push_back(known.job.layers[layer]);
  }
  for (const Digest& artifact : published) {
    for (const std::string& origin : OriginsOf(artifact)) {
      Require(Invariant::kAudit, TaskOfOrigin(origin) != task.description.task_id, id, " vouches for an error of ",
              origin);
    }
  }
}

// Work is thrown away only where somebody was wrong, or what it was made from is another now.
void SimChecker::CheckOverturned(const Known& known, const Task& before, const TaskStatus& after,
                                 const Transition& transition) {
  const std::string& id = before.description.task_id;
  const JobSnapshot& job = known.job;
  for (const Task& task : job.tasks) {
    Require(Invariant::kAudit, task.description.kind != TaskKind::kFinalize || task.status.attempt == 0, id,
            " is made again although its job is finalized");
  }
  const auto& parts = known.watches[before.description.index].parts;
  const auto* complete = std::get_if<CompleteTask>(event_);
  const bool just_made = complete != nullptr && complete->lease.task_id == id &&
                         wrong_workers_.contains(complete->lease.worker_name);  // and contradicted at once
  const bool wrong = just_made || std::any_of(parts.begin(), parts.end(), [&](const auto& part) {
                       return std::any_of(part.second.begin(), part.second.end(),
                                          [&](const std::string& name) { return wrong_workers_.contains(name); });
                     });
  const auto& maker = before.description.input_boundary_of;
  const bool other_input = maker && std::any_of(transition.tasks.begin(), transition.tasks.end(), [&](const auto& one) {
                             return one.index == *maker && one.status.result != job.tasks[*maker].status.result;
                           });
  const bool is_audit = AuditedBy(before.description).has_value();
  const bool awaits = is_audit && HasTrigger(transition, job.tasks[*AuditedBy(before.description)].description.task_id,
                                             TaskTrigger::kOverturn);
  Require(Invariant::kAudit, wrong || other_input || awaits, id, " is made again without a cause");
  Require(Invariant::kAudit,
          after.failures == FailureCounts() && after.failed_attempts.empty() && !after.checkpoint &&
              after.repair.missing_inputs == 0,
          id, " is made again and remembers what it met before");
  for (int layer : after.repair.lost_layers) {
    const auto& gone = transition.overturned_layers;
    Require(Invariant::kRepair, std::find(gone.begin(), gone.end(), layer) == gone.end(), id,
            " has lost what it never published");
  }
  if (!is_audit && other_input) {
    const auto begin = job.layers.begin() + before.description.layers.begin;
    const auto kept = std::count_if(begin, begin + before.description.layers.count(),
                                    [](const Digest& one) { return one != Digest(); });
    const auto gone = std::count_if(
        transition.overturned_layers.begin(), transition.overturned_layers.end(),
        [&](int layer) { return layer >= before.description.layers.begin && layer < before.description.layers.end; });
    Require(Invariant::kAudit, before.description.kind != TaskKind::kQuantize || kept == gone, id,
            " keeps layers of another input");
  }
}

// Whether an audit vouches for what a task made of its input.
bool SimChecker::IsVouchedFor(const JobSnapshot& job, const std::string& task_id) const {
  return std::any_of(job.tasks.begin(), job.tasks.end(), [&](const Task& task) {
    const std::optional<int> audited = AuditedBy(task.description);
    return audited && job.tasks[*audited].description.task_id == task_id && IsVerdict(task.status.audit.outcome);
  });
}

// As golden as what nobody audited lets it be.
void SimChecker::CheckManifest(const JobSnapshot& job, const Digest& manifest, const std::string& id) {
  std::vector<Digest> golden;
  bool wrong = false;
  for (int layer = 0; layer < job.description.layer_count; ++layer) {
    golden.push_back(Digest::Of(AsBytes(SimLayer(job.description.spec, layer))));
    for (const std::string& origin : OriginsOf(job.layers[layer])) {
      wrong = true;
      Require(Invariant::kAudit, !IsVouchedFor(job, TaskOfOrigin(origin)), id, " contains an audited error of ",
              origin);
    }
  }
  Require(Invariant::kGoldenManifest, manifest == SimManifest(wrong ? job.layers : golden), id,
          " made another manifest");
}

}  // namespace gptvq

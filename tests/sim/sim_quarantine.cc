// What the checker knows of workers: who fails, who is trusted, and whether that is as docs/protocol.md says ("Workers that
// fail").

#include <algorithm>
#include <utility>

#include "tests/sim/sim_checker.h"

namespace gptvq {
namespace {

constexpr int kTooMany = 3;
constexpr int kRememberedTtls = 10;  // of a worker's last call

// Whether the event of a changed task says that its lease was taken back.
bool IsRevoked(const Transition& transition, const std::string& task_id) {
  return std::any_of(transition.events.begin(), transition.events.end(), [&](const JobEvent& event) {
    const auto* task = std::get_if<TaskStateChange>(&event.what);
    return task != nullptr && task->task_id == task_id && task->trigger == TaskTrigger::kRevoke;
  });
}

int Allowance(std::size_t fleet) {
  if (fleet < 2) return 0;
  return fleet < 7 ? 1 : static_cast<int>(fleet * 3 / 10);
}

}  // namespace

// Before anything of the transition is taken over.
void SimChecker::NoteAttempt(const Transition& transition) {
  attempt_ = {};
  job_of_attempt_ = transition.job_id;
  const auto known = known_.find(transition.job_id);
  if (known == known_.end()) return;
  const bool ticked = std::holds_alternative<Tick>(*event_);
  for (const Transition::TaskChange& change : transition.tasks) {
    const Task& task = known->second.job.tasks[change.index];
    const Watch& watch = known->second.watches[change.index];
    const TaskState to = change.status.state;
    const auto* complete = std::get_if<CompleteTask>(event_);
    const bool completed = complete != nullptr && complete->lease.task_id == task.description.task_id;
    if (!completed && HasTrigger(transition, task.description.task_id, TaskTrigger::kOverturn)) continue;
    const bool given_up = AuditedBy(task.description) && to == TaskState::kCommitted && !completed;
    const bool moved_on = given_up || to == TaskState::kReady || to == TaskState::kBlocked || to == TaskState::kFailed;
    const std::string& worker = task.status.worker_name;
    const bool restarting = MayWantReboot({worker, task.status.incarnation});
    const bool taken_back =
        TrustOf(worker) == WorkerTrust::kQuarantined || (restarting && IsRevoked(transition, task.description.task_id));
    if (ticked && IsHeld(task.status.state) && taken_back && change.status.state != TaskState::kCancelling) {
      attempt_ = {change.index, std::nullopt, true, false};
    } else if (task.status.state != TaskState::kLeased || IsAwaited(task)) {
      continue;
    } else if (const auto* fail = std::get_if<FailTask>(event_); fail != nullptr && moved_on) {
      attempt_ = {change.index, Trial{worker, fail->failure.failure_class, false, false}, false, false};
    } else if (ticked && moved_on) {
      const bool lost = IsSilent(watch);
      attempt_ = {change.index, Trial{worker, lost ? FailureClass::kInfra : FailureClass::kTransient, lost, false},
                  false, false};
    } else if (std::holds_alternative<CheckpointTask>(*event_)) {
      const auto& checkpoint = std::get<CheckpointTask>(*event_).checkpoint;
      if (known->second.job.layers[checkpoint.layer] != Digest()) continue;  // it was lost: no further than before
      if (static_cast<int>(checkpoint.linears.size()) <= task.status.most_linears) continue;
      attempt_ = {change.index, std::nullopt, false, false, true};
    } else if (std::holds_alternative<PublishLayer>(*event_) || completed) {
      attempt_ = {change.index, std::nullopt, false, true};
    }
  }
  if (attempt_.index < 0) return;
  const Task& task = known->second.job.tasks[attempt_.index];
  if (attempt_.trial && SpeaksAgainstWorker(*attempt_.trial)) NoteBlame(task);
  if (!attempt_.got_further && !attempt_.kept_more) return;
  const WorkerKey holder = {task.status.worker_name, task.status.incarnation};
  Require(Invariant::kSickDevice, !last_call_.contains(holder) || !SurelyWantsReboot(holder), task.description.task_id,
          " got further on a host that wants a reboot");
  if (attempt_.got_further) NoteSuccess(task);
  if (!attempt_.kept_more) return;
  for (Blame& blame : workers_[task.status.worker_name].blames) blame.in_a_row = false;
}

void SimChecker::NoteBlame(const Task& task) {
  const std::string& worker = attempt_.trial->worker;
  if (TrustOf(worker) == WorkerTrust::kQuarantined) return;
  std::vector<Blame>& blames = workers_[worker].blames;
  std::erase_if(blames, [&](const Blame& blame) {
    return blame.task_id == task.description.task_id || world_.now().wall - blame.time > std::chrono::hours(1);
  });
  blames.push_back({task.description.task_id, world_.now().wall, false, true});
}

void SimChecker::NoteSuccess(const Task& task) {
  for (Blame& blame : workers_[task.status.worker_name].blames) blame.in_a_row = false;
  const Known& known = known_.at(task.description.task_id.substr(0, task.description.task_id.find('/')));
  for (const Trial& trial : known.watches[task.description.index].trials) {
    if (trial.worker == task.status.worker_name || trial.refuted || !SpeaksAgainstWorker(trial)) continue;
    for (Blame& blame : workers_[trial.worker].blames) blame.refuted |= blame.task_id == task.description.task_id;
  }
}

void SimChecker::NoteWorkers(const Transition& transition) {
  for (const WorkerRecord& record : transition.workers) {
    KnownWorker& worker = workers_[record.name];
    const WorkerRecord before = std::exchange(worker.record, record);
    world_.Trace(record.name + " is " + std::string(Name(record.trust)));
    Require(Invariant::kAudit, !IsConvicted(before, record) || wrong_workers_.contains(record.name), record.name,
            " is taken for one that computes wrong");
    switch (record.trust) {
      case WorkerTrust::kQuarantined:
        if (IsConvicted(before, record) && before.quarantine_end == record.quarantine_end) break;
        if (before.distrusted && !record.distrusted) break;  // what it made was made again
        Require(Invariant::kQuarantine, before.quarantine_end != record.quarantine_end, record.name,
                " changes although it is in quarantine");
        CheckQuarantine(before, record);
        worker.free_at = now() + (*record.quarantine_end - world_.now().wall);
        worker.blames.clear();
        break;
      case WorkerTrust::kSuspect:
        if (before.trust != WorkerTrust::kSuspect) {
          Require(Invariant::kQuarantine, IsGuilty(record.name) || IsConvicted(before, record), record.name,
                  " is suspect without a cause");
          worker.next_probe = now() + options_.trust.probe_period;
        }
        break;
      case WorkerTrust::kTrusted:
        if (before.trust == WorkerTrust::kSuspect || IsBlank(record)) worker.blames.clear();
        break;
    }
  }
  const auto known = known_.find(transition.job_id);
  if (attempt_.index < 0 || known == known_.end()) return;
  const std::string& numerics_class = known->second.job.status.numerics_class;
  if (attempt_.trial && SpeaksAgainstWorker(*attempt_.trial)) CheckJudged(attempt_.trial->worker, numerics_class);
  if (!attempt_.got_further) return;
  for (const Trial& trial : known->second.watches[attempt_.index].trials) {
    const bool is_holder = trial.worker == known->second.job.tasks[attempt_.index].status.worker_name;
    if (!is_holder && !trial.refuted && SpeaksAgainstWorker(trial)) CheckJudged(trial.worker, numerics_class);
  }
}

// By an audit, in this step.
bool SimChecker::IsConvicted(const WorkerRecord& before, const WorkerRecord& after) {
  return after.distrusted && (std::holds_alternative<CompleteTask>(*event_) || !before.distrusted);
}

void SimChecker::CheckQuarantine(const WorkerRecord& before, const WorkerRecord& after) {
  const std::string& name = after.name;
  Require(Invariant::kQuarantine, IsGuilty(name) || before.trust == WorkerTrust::kSuspect || IsConvicted(before, after),
          name, " is in quarantine without a cause");
  const bool first = after.quarantine_count == 1;
  Require(Invariant::kQuarantine, first || after.quarantine_count == before.quarantine_count + 1, name,
          " miscounts its quarantines");
  auto duration = options_.trust.first_quarantine;
  for (int i = 1; i < after.quarantine_count; ++i) duration = std::min(2 * duration, options_.trust.longest_quarantine);
  Require(Invariant::kQuarantine, *after.quarantine_end == world_.now().wall + duration, name,
          " is in quarantine for another time than its history says");
  const std::string numerics_class = ClassOf(name);
  // At most so many, in the coordinator's eyes: it may have forgotten some.
  std::set<std::string> fleet = {name};
  for (const auto& [key, own_class] : class_of_) {
    if (own_class == numerics_class) fleet.insert(key.name);
  }
  int quarantined = 1;
  for (const std::string& one : Present(numerics_class)) {
    quarantined += one != name && TrustOf(one) == WorkerTrust::kQuarantined ? 1 : 0;
  }
  Require(Invariant::kQuarantine, quarantined <= Allowance(fleet.size()), name,
          " is one too many in quarantine: ", std::to_string(quarantined), " of ", std::to_string(fleet.size()));
}

// At the moments at which something new speaks against a worker.
void SimChecker::CheckJudged(const std::string& worker, const std::string& numerics_class) {
  std::set<std::string> fleet = Present(numerics_class);
  fleet.insert(worker);
  Require(
      Invariant::kQuarantine, !IsGuilty(worker) || fleet.size() < 2 || TrustOf(worker) != WorkerTrust::kTrusted, worker,
      " is trusted although it fails: ", std::to_string(FailedTasks(worker, [](const Blame& b) { return b.refuted; })),
      " of ", std::to_string(fleet.size()));
}

bool SimChecker::IsGuilty(const std::string& worker) const {
  const int refuted = FailedTasks(worker, [](const Blame& blame) { return blame.refuted; });
  const int in_a_row = FailedTasks(worker, [&](const Blame& blame) {
    if (!blame.in_a_row || blame.refuted) return blame.in_a_row;
    const std::string job_id = blame.task_id.substr(0, blame.task_id.find('/'));
    const auto known = known_.find(job_id);
    const JobStatus& status = known->second.job.status;
    const bool gets_further_now = attempt_.got_further && job_id == job_of_attempt_;
    return !IsTerminal(status.state) && (status.published_layers + status.committed_tasks > 0 || gets_further_now);
  });
  return std::max(refuted, in_a_row) >= kTooMany;
}

int SimChecker::FailedTasks(const std::string& worker, const std::function<bool(const Blame&)>& counts) const {
  const auto known = workers_.find(worker);
  if (known == workers_.end()) return 0;
  return static_cast<int>(std::count_if(
      known->second.blames.begin(), known->second.blames.end(),
      [&](const Blame& blame) { return world_.now().wall - blame.time <= std::chrono::hours(1) && counts(blame); }));
}

void SimChecker::KeepTrials(Known& known) {
  if (attempt_.index < 0) return;
  std::vector<Trial>& trials = known.watches[attempt_.index].trials;
  const std::string& holder = known.job.tasks[attempt_.index].status.worker_name;
  if (attempt_.trial) {
    std::erase_if(trials, [&](const Trial& trial) {
      return trial.worker == holder && trial.failure_class == attempt_.trial->failure_class &&
             trial.lost == attempt_.trial->lost;
    });
    trials.push_back(*attempt_.trial);
  } else if (attempt_.got_further) {
    std::erase_if(trials, [&](const Trial& trial) { return trial.worker == holder; });
    for (Trial& trial : trials) trial.refuted = true;
  } else if (attempt_.kept_more) {
    for (Trial& trial : trials) trial.outlived = true;
  }
}

void SimChecker::NoteLoadedWorkers(const JobStore::State& state) {
  std::size_t remembered = 0;
  for (const auto& [name, worker] : workers_) remembered += IsBlank(worker.record) ? 0 : 1;
  Require(Invariant::kAcknowledgedPersists, state.workers.size() == remembered, "the journal lost a worker's record");
  for (const WorkerRecord& record : state.workers) {
    KnownWorker& worker = workers_[record.name];
    Require(Invariant::kAcknowledgedPersists,
            record.revision == worker.record.revision && record.trust == worker.record.trust &&
                record.failures.size() == worker.record.failures.size(),
            record.name, " is remembered otherwise than journaled");
    worker.next_probe = now();
    if (record.trust != WorkerTrust::kQuarantined) continue;
    worker.free_at =
        now() + std::clamp<std::chrono::nanoseconds>(*record.quarantine_end - world_.now().wall,
                                                     std::chrono::nanoseconds(0), options_.trust.longest_quarantine);
  }
}

void SimChecker::CheckGivenWork(const WorkerKey& holder, const std::string& task_id) {
  const WorkerTrust trust = TrustOf(holder.name);
  if (const auto* poll = std::get_if<PollTask>(event_)) {
    Require(Invariant::kSickDevice, MayTakeTask(poll->devices, poll->slot), task_id, " was granted to ", holder.name,
            ", whose device is out");
  }
  Require(Invariant::kQuarantine, trust != WorkerTrust::kQuarantined, task_id, " was granted to ", holder.name,
          ", which is in quarantine");
  if (trust == WorkerTrust::kSuspect) {
    KnownWorker& worker = workers_[holder.name];
    Require(Invariant::kQuarantine, now() >= worker.next_probe, task_id, " was granted to ", holder.name,
            ", which is suspect and had one lately");
    worker.next_probe = now() + options_.trust.probe_period;
  } else {
    for (const std::string& other : Present(class_of_[holder])) {
      Require(Invariant::kQuarantine, TrustOf(other) != WorkerTrust::kSuspect, task_id, " was granted to ", holder.name,
              " although too many of its class fail, like ", other);
    }
  }
}

// After everything that a moment brings.
void SimChecker::CheckNothingHeld() {
  for (const auto& [id, known] : known_) {
    for (const Task& task : known.job.tasks) {
      Require(Invariant::kQuarantine,
              !IsHeld(task.status.state) || TrustOf(task.status.worker_name) != WorkerTrust::kQuarantined,
              task.description.task_id, " is held from quarantine");
      const WorkerKey holder = {task.status.worker_name, task.status.incarnation};
      Require(Invariant::kSickDevice,
              !IsHeld(task.status.state) || !last_call_.contains(holder) || !SurelyWantsReboot(holder),
              task.description.task_id, " is held on a host that wants a reboot");
    }
  }
}

// A report that was heard stays, whatever becomes of the batch that it came in: it is no part of the journal.
void SimChecker::NoteDevices(const WorkerKey& worker, const std::vector<DeviceHealth>& devices,
                             const absl::Status& answer) {
  if (devices.empty() || (!answer.ok() && !absl::IsUnavailable(answer))) return;
  std::vector<DeviceCondition>& conditions =
      conditions_of_.try_emplace(worker, 1, DeviceCondition::kUnknown).first->second;
  if (answer.ok()) conditions.clear();
  conditions.push_back(devices.front().condition);
}

bool SimChecker::MayBeUsable(const WorkerKey& worker) const {
  const auto known = conditions_of_.find(worker);
  return known == conditions_of_.end() || std::any_of(known->second.begin(), known->second.end(), IsUsable);
}

bool SimChecker::IsSurelyUsable(const WorkerKey& worker) const {
  const auto known = conditions_of_.find(worker);
  return known == conditions_of_.end() || std::all_of(known->second.begin(), known->second.end(), IsUsable);
}

bool SimChecker::MayWantReboot(const WorkerKey& worker) const {
  const auto known = conditions_of_.find(worker);
  return known != conditions_of_.end() &&
         std::count(known->second.begin(), known->second.end(), DeviceCondition::kReboot) > 0;
}

bool SimChecker::SurelyWantsReboot(const WorkerKey& worker) const {
  const auto known = conditions_of_.find(worker);
  return known != conditions_of_.end() &&
         std::all_of(known->second.begin(), known->second.end(),
                     [](DeviceCondition condition) { return condition == DeviceCondition::kReboot; });
}

bool SimChecker::SpeaksAgainstWorker(const Trial& trial) {
  return trial.lost || trial.failure_class == FailureClass::kTransient ||
         trial.failure_class == FailureClass::kDevice || trial.failure_class == FailureClass::kBug;
}

WorkerTrust SimChecker::TrustOf(const std::string& name) const {
  const auto worker = workers_.find(name);
  if (worker == workers_.end()) return WorkerTrust::kTrusted;
  const WorkerTrust trust = worker->second.record.trust;
  return trust == WorkerTrust::kQuarantined && now() >= worker->second.free_at ? WorkerTrust::kTrusted : trust;
}

// Whether nobody of the class needs to be given work, but its suspects.
bool SimChecker::MayBeStopped(const std::string& numerics_class) const {
  return std::any_of(workers_.begin(), workers_.end(), [&](const auto& entry) {
    return entry.second.record.trust == WorkerTrust::kSuspect && ClassOf(entry.first) == numerics_class;
  });
}

std::string SimChecker::ClassOf(const std::string& name) const {
  const auto worker = class_of_.lower_bound({name, ""});
  return worker == class_of_.end() || worker->first.name != name ? "" : worker->second;
}

// Who surely is there, in the coordinator's eyes.
std::set<std::string> SimChecker::Present(const std::string& numerics_class) const {
  std::set<std::string> names;
  for (const auto& [key, time] : last_call_) {
    if (class_of_.at(key) == numerics_class && now() - time <= kRememberedTtls * options_.lease_ttl) {
      names.insert(key.name);
    }
  }
  return names;
}

}  // namespace gptvq

#include "tests/sim/sim_checker.h"

#include <algorithm>

#include "tests/sim/sim_artifacts.h"

namespace gptvq {
namespace {

std::string JobIdOf(const std::string& task_id) { return task_id.substr(0, task_id.find('/')); }

// The states a job may pass into; written down here a second time, on purpose.
bool MayFollow(JobState from, JobState to) {
  switch (from) {
    case JobState::kPending:
      return to == JobState::kRunning || to == JobState::kCancelling || to == JobState::kCancelled;
    case JobState::kRunning:
      return to == JobState::kFinalizing || to == JobState::kFailing || to == JobState::kFailed ||
             to == JobState::kCancelling || to == JobState::kCancelled;
    case JobState::kFinalizing:
      return to == JobState::kRunning || to == JobState::kSucceeded || to == JobState::kFailing ||
             to == JobState::kFailed || to == JobState::kCancelling || to == JobState::kCancelled;
    case JobState::kFailing: return to == JobState::kFailed;
    case JobState::kCancelling: return to == JobState::kCancelled;
    case JobState::kSucceeded:
    case JobState::kFailed:
    case JobState::kCancelled: return false;
  }
  return false;
}

}  // namespace

void SimChecker::OnBatch(absl::Span<Proposal* const> batch) { batch_ = batch; }

void SimChecker::OnRecorded(const Ledger& ledger) {
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    event_ = &batch_[i]->event;
    for (; !steps_.empty() && steps_.front().index <= i; steps_.pop_front()) {
      if (steps_.front().loaded) NoteLoaded(*steps_.front().loaded);
      if (steps_.front().stored) NoteJournaled(*steps_.front().stored);
    }
    NoteAnswer(*event_, batch_[i]->answer);
  }
  for (; !steps_.empty(); steps_.pop_front()) NoteLoaded(*steps_.front().loaded);  // after the last answer
  batch_ = {};
  CheckExtended(ledger);
}

void SimChecker::OnAppend(const absl::Status& status) {
  Require(Invariant::kOneWriter, status.ok(), "the only writer was refused: ", status.ToString());
}

void SimChecker::OnHealed(bool submitted) {
  Require(Invariant::kEveryJobEnds, submitted && AllEnded(), "not ended: ", Standing());
}

void SimChecker::OnJournaled(const Transition& transition) {
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    if (!batch_[i]->answer.ok() || &batch_[i]->answer->transition != &transition) continue;
    return steps_.push_back({i, transition, std::nullopt});
  }
  NoteJournaled(transition);
}

void SimChecker::NoteJournaled(const Transition& transition) {
  for (const DoomChange& change : transition.artifacts) {
    world_.Trace("artifact " + change.row.artifact.hex() + " step " + std::to_string(static_cast<int>(change.step)));
  }
  for (const DoomChange& change : transition.artifacts) {
    const bool known = named_.contains(ArtifactStore::KeyOf(change.row.artifact));
    Require(Invariant::kGarbageGoes,
            change.step != DoomStep::kDoom || change.row.kind != ArtifactKind::kUnknown || !known,
            "what a job left was not doomed but found");
  }
  if (!transition.job_id.empty()) {
    world_.Trace("journal " + transition.job_id + " revision " +
                 std::to_string(transition.job ? transition.job->revision : 0));
  }
  ++transitions_;
  NoteAttempt(transition);
  NoteWorkers(transition);
  if (transition.job_id.empty()) return;
  if (transition.created) {
    CheckCreation(*transition.created);
    known_[transition.job_id] = {*transition.created, std::vector<Watch>(transition.created->tasks.size())};
    for (Watch& watch : known_[transition.job_id].watches) watch.ready_since = now();
    return;
  }
  Require(Invariant::kAcknowledgedPersists, known_.contains(transition.job_id), transition.job_id,
          " changes before it was created");
  Known& known = known_[transition.job_id];
  JobSnapshot& job = known.job;
  CheckEvents(job, transition);
  for (const Transition::TaskChange& change : transition.tasks) CheckTask(known, transition, change);
  NoteParts(known, transition);
  if (transition.layer) CheckLayer(job, *transition.layer);

  if (transition.layer) named_.insert(ArtifactStore::KeyOf(transition.layer->layer.artifact));
  for (const Transition::TaskChange& change : transition.tasks) {
    const auto boundary = change.status.result ? OutputBoundary(*change.status.result) : std::nullopt;
    const bool is_named = boundary && change.status.state == TaskState::kCommitted;
    if (is_named) named_.insert(ArtifactStore::KeyOf(*boundary));
    if (change.status.checkpoint) named_.insert(ArtifactStore::KeyOf(change.status.checkpoint->artifact));
    if (!change.status.checkpoint) known.watches[change.index].acknowledged.reset();
    NoteRest(job.tasks[change.index], change.status, transition, known.watches[change.index]);
    Watch& watch = known.watches[change.index];
    const bool reopened = job.tasks[change.index].status.state == TaskState::kCommitted;
    if (reopened) watch.reopened = transitions_;
    if (reopened || HasTrigger(transition, job.tasks[change.index].description.task_id, TaskTrigger::kOverturn)) {
      watch.trials.clear();
    }
    if (change.status.state == TaskState::kCommitted) watch.committed = transitions_;
    job.tasks[change.index].status = change.status;
    world_.Trace(job.tasks[change.index].description.task_id + " is " + std::string(Name(change.status.state)) +
                 ", epoch " + std::to_string(change.status.epoch));
  }
  for (int layer : transition.overturned_layers) job.layers[layer] = Digest();
  if (transition.layer) job.layers[transition.layer->layer.layer] = transition.layer->layer.artifact;
  const JobState state_before = job.status.state;
  Require(Invariant::kOneClass,
          !transition.job || job.status.numerics_class.empty() ||
              job.status.numerics_class == transition.job->numerics_class,
          transition.job_id, " changed its class");
  if (transition.job) job.status = *transition.job;
  KeepTrials(known);
  CheckJob(state_before, job);
}

void SimChecker::CheckCreation(const JobSnapshot& job) {
  const std::string& id = job.description.job_id;
  Require(Invariant::kAcknowledgedPersists, !known_.contains(id), id, " was created twice");
  Require(Invariant::kTable, job.description.sequence > last_sequence_, id, " has the number of an earlier job");
  last_sequence_ = job.description.sequence;
  const auto active = std::count_if(known_.begin(), known_.end(),
                                    [](const auto& entry) { return !IsTerminal(entry.second.job.status.state); });
  Require(Invariant::kAdmission, active < options_.max_active_jobs, id, " is one job too many");
}

void SimChecker::CheckEvents(const JobSnapshot& before, const Transition& transition) {
  std::int64_t seq = before.status.last_event_seq;
  JobState state = before.status.state;
  std::map<std::string, TaskState> moved;
  for (const JobEvent& event : transition.events) {
    Require(Invariant::kEventChain, event.seq == ++seq, transition.job_id, ": events have a gap");
    if (const auto* job = std::get_if<JobStateChange>(&event.what)) {
      Require(Invariant::kEventChain, job->from == state, transition.job_id, ": an event begins at another state");
      state = job->to;
    }
    if (const auto* task = std::get_if<TaskStateChange>(&event.what)) {
      const TaskState from = Find(task->task_id).task->status.state;
      TaskState& now = moved.try_emplace(task->task_id, from).first->second;
      Require(Invariant::kEventChain, task->from == now, task->task_id, ": an event begins at another state");
      now = task->to;
    }
  }
  Require(Invariant::kEventChain, transition.job && transition.job->last_event_seq == seq, transition.job_id,
          ": the number of the last event is another");
  Require(Invariant::kEventChain, transition.job && transition.job->state == state, transition.job_id,
          ": no event tells how the job changed");
  for (const Transition::TaskChange& change : transition.tasks) {
    const Task& task = before.tasks[change.index];
    const auto told = moved.find(task.description.task_id);
    // A publication is told by the event of its layer, if it is the first; a checkpoint is no news.
    const bool needs_none = task.status.state == change.status.state && told == moved.end();
    Require(Invariant::kEventChain, needs_none || (told != moved.end() && told->second == change.status.state),
            task.description.task_id, ": no event tells how it changed");
    const bool right_epoch =
        std::all_of(transition.events.begin(), transition.events.end(), [&](const JobEvent& event) {
          const auto* what = std::get_if<TaskStateChange>(&event.what);
          return what == nullptr || what->task_id != task.description.task_id || what->epoch == change.status.epoch;
        });
    Require(Invariant::kEventChain, right_epoch, task.description.task_id, ": an event tells of another epoch");
    if (told != moved.end()) moved.erase(told);
  }
  Require(Invariant::kEventChain, moved.empty(), transition.job_id, ": an event tells of a change that did not happen");
}

void SimChecker::CheckJob(JobState before, const JobSnapshot& after) {
  const std::string& id = after.description.job_id;
  const JobState state = after.status.state;
  Require(Invariant::kTable, before == state || MayFollow(before, state), id, " went from ", Name(before), " to ",
          Name(state));
  int committed = 0;
  bool held = false, open = false, quantized = true;
  for (const Task& task : after.tasks) {
    const TaskState task_state = task.status.state;
    committed += task_state == TaskState::kCommitted ? 1 : 0;
    held = held || IsHeld(task_state);
    open = open || !IsTerminal(task_state);
    const bool of_layers = task.description.kind == TaskKind::kQuantize || task.description.kind == TaskKind::kAudit;
    quantized = quantized && (!of_layers || task_state == TaskState::kCommitted);
  }
  const auto published =
      std::count_if(after.layers.begin(), after.layers.end(), [](const Digest& digest) { return digest != Digest(); });
  Require(Invariant::kCountersRecount, after.status.committed_tasks == committed, id, " miscounts its tasks");
  Require(Invariant::kCountersRecount, after.status.published_layers == published, id, " miscounts its layers");
  Require(Invariant::kTable, !IsTerminal(state) || !open, id, " ended with open tasks");
  Require(Invariant::kTable, IsTerminal(state) == after.status.end_time.has_value(), id, " has no right end time");
  Require(Invariant::kTable, state != JobState::kFinalizing || quantized, id, " finalizes before it is quantized");
  Require(Invariant::kTable,
          (state == JobState::kFailing || state == JobState::kFailed) == after.status.failure.has_value(), id,
          " fails without a cause, or has one without failing");
  Require(Invariant::kCancelWins, state != JobState::kCancelling || held, id, " waits for nobody");
  if (state == JobState::kSucceeded) {
    Require(Invariant::kTable, committed == static_cast<int>(after.tasks.size()), id, " succeeded with open tasks");
  }
}

void SimChecker::OnDelete(std::string_view key) {
  world_.Trace("delete " + std::string(key));
  named_.erase(std::string(key));
  for (const auto& [id, known] : known_) {
    if (IsTerminal(known.job.status.state)) continue;
    for (const Digest& layer : known.job.layers) {
      Require(Invariant::kNeededKept, layer == Digest() || ArtifactStore::KeyOf(layer) != key, id,
              " needs a layer that ", "is deleted");
    }
    for (const Task& task : known.job.tasks) {
      const auto& checkpoint = task.status.checkpoint;
      Require(Invariant::kNeededKept, !checkpoint || ArtifactStore::KeyOf(checkpoint->artifact) != key,
              task.description.task_id, " needs a checkpoint that is deleted");
      const auto& producer = task.description.input_boundary_of;
      if (!producer || IsTerminal(task.status.state) || !known.job.tasks[*producer].status.result) continue;
      if (MayBeGone(known, task)) continue;
      const auto boundary = OutputBoundary(*known.job.tasks[*producer].status.result);
      Require(Invariant::kNeededKept, !boundary || ArtifactStore::KeyOf(*boundary) != key, task.description.task_id,
              " has still to read a boundary that is deleted");
    }
  }
}

void SimChecker::OnTidied(bool all_gone) {
  Require(Invariant::kGarbageGoes, all_gone, "all jobs ended long ago, and artifacts are left");
}

bool SimChecker::IsStored(const Digest& artifact) const {
  if (artifact == Digest()) return false;
  const auto file = objects_.Open(ArtifactStore::KeyOf(artifact));
  if (!file.ok()) return false;
  const auto bytes = ReadWholeFile(**file, 1 << 20);
  return bytes.ok() && Digest::Of(AsBytes(*bytes)) == artifact;
}

void SimChecker::OnLoaded(const JobStore::State& state) {
  if (batch_.empty()) return NoteLoaded(state);
  const auto undecided = std::find_if(batch_.begin(), batch_.end(), [](const Proposal* proposal) {
    return absl::IsUnknown(proposal->answer.status());
  });
  steps_.push_back({static_cast<std::size_t>(undecided - batch_.begin()), std::nullopt, state});
}

void SimChecker::NoteLoaded(const JobStore::State& state) {
  std::size_t active = 0;
  for (const auto& [id, known] : known_) active += IsTerminal(known.job.status.state) ? 0 : 1;
  Require(Invariant::kAcknowledgedPersists, state.active_jobs.size() == active, "the journal lost a job");
  Require(Invariant::kAcknowledgedPersists, state.last_sequence == last_sequence_, "the journal forgot a number");
  for (const JobSnapshot& job : state.active_jobs) OnStored(job);
  NoteLoadedWorkers(state);
  Require(Invariant::kEpochRises, state.generation >= generation_, "the journal went back to an earlier generation");
  Require(Invariant::kEpochRises, !rollback_suspected_ || state.generation > generation_,
          "a rollback was suspected and no generation began");
  generation_ = state.generation;
  rollback_suspected_ = false;
  last_call_.clear();
  for (auto& [id, known] : known_) {
    for (Watch& watch : known.watches) {
      Watch fresh = {};
      fresh.ready_since = fresh.last_sign = fresh.last_progress = now();
      fresh.trials = std::move(watch.trials);
      fresh.reopened = watch.reopened;
      fresh.committed = watch.committed;
      fresh.parts = std::move(watch.parts);
      fresh.answered = std::move(watch.answered);
      fresh.acknowledged = std::move(watch.acknowledged);
      watch = std::move(fresh);
    }
  }
}

void SimChecker::OnStored(const JobSnapshot& job) {
  const std::string& id = job.description.job_id;
  const auto found = known_.find(id);
  Require(Invariant::kAcknowledgedPersists, found != known_.end(), id, " was never journaled");
  if (found == known_.end()) return;
  const JobSnapshot& known = found->second.job;
  Require(Invariant::kAcknowledgedPersists, job.status == known.status, id, " is stored otherwise than journaled");
  Require(Invariant::kAcknowledgedPersists, job.layers == known.layers, id, " has lost layers");
  Require(Invariant::kAcknowledgedPersists, job.description.spec == known.description.spec, id, " has another spec");
  for (std::size_t i = 0; i < job.tasks.size(); ++i) {
    Require(Invariant::kAcknowledgedPersists, job.tasks[i].status == known.tasks[i].status,
            job.tasks[i].description.task_id, " is stored otherwise than journaled");
  }
}

SimChecker::Place SimChecker::Find(const std::string& task_id) {
  const auto known = known_.find(JobIdOf(task_id));
  if (known == known_.end()) return {};
  for (const Task& task : known->second.job.tasks) {
    if (task.description.task_id != task_id) continue;
    return {&known->second, &task, &known->second.watches[task.description.index]};
  }
  return {};
}

void SimChecker::Violate(Invariant invariant, const std::string& text) {
  world_.Trace("VIOLATION of " + std::string(EntryOf(invariant).name) + ": " + text);
  if (!violation_) violation_ = {invariant, text};
}

bool SimChecker::AllEnded() const {
  return std::all_of(known_.begin(), known_.end(),
                     [](const auto& entry) { return IsTerminal(entry.second.job.status.state); });
}

std::string SimChecker::Standing() const {
  std::string text;
  for (const auto& [id, known] : known_) {
    if (IsTerminal(known.job.status.state)) continue;
    text += id + " is " + std::string(Name(known.job.status.state)) + ":";
    for (const Task& task : known.job.tasks) text += " " + std::string(Name(task.status.state));
    text += "; ";
  }
  return text;
}

int SimChecker::tasks() const {
  std::size_t count = 0;
  for (const auto& [id, known] : known_) count += known.job.tasks.size();
  return static_cast<int>(count);
}

int SimChecker::ended_with(JobState state) const {
  return static_cast<int>(std::count_if(known_.begin(), known_.end(),
                                        [&](const auto& entry) { return entry.second.job.status.state == state; }));
}

std::vector<std::string> SimChecker::job_ids() const {
  std::vector<std::string> ids;
  for (const auto& [id, known] : known_) ids.push_back(id);
  return ids;
}

}  // namespace gptvq

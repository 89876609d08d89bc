#include "server/coordinator.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"
#include "server/grant.h"

namespace gptvq {
namespace {

absl::Status Stopping() { return Refuse(ErrorReason::kStopping, "the coordinator is stopping"); }

bool BeginsWork(const Event& event) {
  return std::holds_alternative<SubmitJob>(event) || std::holds_alternative<RegisterWorker>(event) ||
         std::holds_alternative<PollTask>(event);
}

// Whether a poll may find something now that it did not find before the transition.
bool MakesWork(const Transition& transition) {
  if (transition.created) return true;
  return std::any_of(transition.tasks.begin(), transition.tasks.end(),
                     [](const Transition::TaskChange& change) { return change.status.state == TaskState::kReady; });
}

}  // namespace

Coordinator::Coordinator(JobStore& store, Clock& clock, CoordinatorMetrics& metrics, const CoordinatorOptions& options)
    : store_(store),
      clock_(clock),
      metrics_(metrics),
      options_(options),
      waiting_polls_(options.max_waiting_polls, metrics.waiting_polls),
      ledger_(store, options.scheduler, options.garbage) {}

Coordinator::~Coordinator() { Drain(); }

absl::Status Coordinator::Start(ReadinessObserver observer) {
  {
    const std::lock_guard lock(mutex_);
    absl::Status readiness = ledger_.Load(Now());
    if (readiness.ok()) readiness = CatchUp();
    if (!readiness.ok() && ReasonOf(readiness) != ErrorReason::kNotLeading) return readiness;
    observer_ = std::move(observer);
    ShowReadiness(readiness);
    ShowStanding(readiness);
    loaded_ = true;
  }
  ticker_ = std::jthread([this](std::stop_token stop) { RunTicker(stop); });
  return absl::OkStatus();
}

absl::Status Coordinator::CheckLoaded() const {
  if (loaded_) return absl::OkStatus();
  return Refuse(ErrorReason::kNotReady, "the coordinator is loading its journal");
}

void Coordinator::Drain() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
  changed_.notify_all();
  work_changed_.notify_all();
}

absl::StatusOr<Decision> Coordinator::Record(const Event& event, std::optional<DeletionCount> seen) {
  Proposal proposal = {event, seen};
  queue_.Record(proposal, [this](absl::Span<Proposal* const> batch) { RecordLocked(batch); });
  return std::move(proposal.answer);
}

DeletionCount Coordinator::deletion_count() const {
  const std::lock_guard lock(mutex_);
  return ledger_.artifacts().deletion_count();
}

absl::StatusOr<Decision> Coordinator::Poll(const PollTask& poll, std::chrono::milliseconds wait,
                                           absl::FunctionRef<bool()> abandoned) {
  const ConcurrencyLimit::Slot slot = waiting_polls_.TryTake();
  if (slot == nullptr) wait = std::chrono::milliseconds(0);
  const MonotonicTime deadline =
      clock_.MonotonicNow() + std::clamp(wait, std::chrono::milliseconds(0), options_.max_poll_wait);

  PollTask asked = poll;
  while (true) {
    if (abandoned()) return absl::CancelledError("the caller of the poll is gone");
    const std::uint64_t seen = work_version_;  // before it is decided: what comes later wakes this poll again
    GPTVQ_ASSIGN_OR_RETURN(Decision decision, Record(asked));
    asked.devices.clear();  // what the worker reports while this waits is newer
    const MonotonicTime now = clock_.MonotonicNow();
    if (decision.outcome != Outcome::kNothing || now >= deadline) return decision;
    std::unique_lock lock(mutex_);
    work_changed_.wait_for(lock, deadline - now, [&] { return draining_ || work_version_ != seen; });
  }
}

// Made under the lock: a copy of the job to make it from would cost more than everything else a poll does.
absl::StatusOr<std::optional<TaskGrant>> Coordinator::FindGrant(const std::string& task_id,
                                                                const PollTask& poll) const {
  const std::lock_guard lock(mutex_);
  GPTVQ_RETURN_IF_ERROR(ledger_.CheckInStep());
  const auto found = ledger_.scheduler().FindTask(task_id);
  if (!found.ok()) return std::nullopt;
  if (!IsLeasedTo(found->task->status, poll)) return std::nullopt;
  const TaskDescription& description = found->task->description;
  std::vector<PublishedLayer> layers;
  if (description.kind == TaskKind::kFinalize) {
    GPTVQ_ASSIGN_OR_RETURN(layers, store_.ReadLayers(found->job->description.job_id));
  }
  return MakeGrant(*found->job, description.index, options_.scheduler.lease_ttl, layers);
}

absl::Status Coordinator::CheckHolder(const Lease& lease) {
  const std::lock_guard lock(mutex_);
  return CountRollback(ledger_.CheckHolder(lease, Now()));
}

absl::StatusOr<bool> Coordinator::MayBeHeld(std::string_view task_id, std::int64_t epoch) const {
  const std::lock_guard lock(mutex_);
  GPTVQ_RETURN_IF_ERROR(ledger_.CheckInStep());
  const absl::StatusOr<Scheduler::FoundTask> found = ledger_.scheduler().FindTask(task_id);
  if (!found.ok()) return false;
  const TaskStatus& status = found->task->status;
  return epoch > status.epoch || (epoch == status.epoch && IsHeld(status.state));
}

absl::StatusOr<std::vector<Digest>> Coordinator::InputsOf(const Lease& lease) const {
  const std::lock_guard lock(mutex_);
  GPTVQ_RETURN_IF_ERROR(ledger_.CheckInStep());
  std::vector<Digest> artifacts;
  if (!ledger_.scheduler().CheckHolder(lease).ok()) return artifacts;
  GPTVQ_ASSIGN_OR_RETURN(const Scheduler::FoundTask found, ledger_.scheduler().FindTask(lease.task_id));
  for (const TaskInput& input : gptvq::InputsOf(*found.job, *found.task)) artifacts.push_back(input.artifact);
  return artifacts;
}

absl::StatusOr<StandingJob> Coordinator::FindJob(std::string_view job_id) const {
  StandingJob standing;
  {
    const std::lock_guard lock(mutex_);
    const Scheduler& scheduler = ledger_.scheduler();
    const bool in_step = ledger_.CheckInStep().ok();
    if (const JobSnapshot* job = in_step ? scheduler.FindJob(job_id) : nullptr) {
      standing.job = *job;
      const std::int64_t sequence = job->description.sequence;
      for (auto held = scheduler.held().lower_bound({sequence, 0});
           held != scheduler.held().end() && held->first.sequence == sequence; ++held) {
        if (held->second.progress == TaskProgress()) continue;
        standing.progress[job->tasks[held->first.index].description.task_id] = held->second.progress;
      }
      return standing;
    }
  }
  absl::StatusOr<JobSnapshot> stored = store_.ReadJob(job_id);
  if (absl::IsNotFound(stored.status())) {
    return Refuse(ErrorReason::kJobUnknown, absl::StrCat("no job ", std::string(job_id)));
  }
  GPTVQ_RETURN_IF_ERROR(stored.status());
  standing.job = *std::move(stored);
  return standing;
}

absl::StatusOr<std::string> Coordinator::OwnerOf(std::string_view job_id) const {
  {
    const std::lock_guard lock(mutex_);
    const JobSnapshot* job = ledger_.CheckInStep().ok() ? ledger_.scheduler().FindJob(job_id) : nullptr;
    if (job != nullptr) return job->description.owner;
  }
  GPTVQ_ASSIGN_OR_RETURN(const StandingJob standing, FindJob(job_id));
  return standing.job.description.owner;
}

absl::StatusOr<std::vector<StandingWorker>> Coordinator::ListWorkers() const {
  const std::lock_guard lock(mutex_);
  GPTVQ_RETURN_IF_ERROR(ledger_.CheckInStep());
  const Scheduler& scheduler = ledger_.scheduler();
  const MonotonicTime now = clock_.MonotonicNow();
  std::map<WorkerKey, StandingWorker> workers;
  for (const auto& [key, presence] : scheduler.workers()) {
    workers[key] = {presence.registration,
                    presence.register_time,
                    std::chrono::duration_cast<std::chrono::milliseconds>(now - presence.last_call),
                    {},
                    std::nullopt};
    const auto standing = scheduler.standings().find(key.name);
    if (standing == scheduler.standings().end()) continue;
    workers[key].record = standing->second.record;
    workers[key].record->trust = TrustAt(standing->second, now);
  }
  for (const auto& [key, lease] : scheduler.held()) {
    const Task& task = scheduler.jobs().at(key.sequence).tasks[key.index];
    const auto worker = workers.find({task.status.worker_name, task.status.incarnation});
    if (worker != workers.end()) worker->second.leased_task_ids.push_back(task.description.task_id);
  }
  std::vector<StandingWorker> result;
  for (auto& [key, worker] : workers) result.push_back(std::move(worker));
  return result;
}

absl::StatusOr<Coordinator::News> Coordinator::WaitForNews(std::string_view job_id, const News& seen,
                                                           std::chrono::milliseconds timeout) const {
  std::unique_lock lock(mutex_);
  const auto last_event_seq = [&] {
    const JobSnapshot* job = ledger_.scheduler().FindJob(job_id);
    return job == nullptr ? std::int64_t{-1} : job->status.last_event_seq;
  };
  changed_.wait_for(lock, timeout, [&] {
    const std::int64_t seq = last_event_seq();
    return draining_ || !ledger_.CheckInStep().ok() || seq < 0 || seq > seen.last_event_seq ||
           progress_version_ != seen.progress_version;
  });
  if (draining_) return Stopping();
  GPTVQ_RETURN_IF_ERROR(ledger_.CheckInStep());  // only the leader hears news
  News news = {last_event_seq(), progress_version_};
  if (news.last_event_seq >= 0) return news;
  lock.unlock();  // ended long ago: only the journal knows it
  GPTVQ_ASSIGN_OR_RETURN(const StandingJob standing, FindJob(job_id));
  news.last_event_seq = standing.job.status.last_event_seq;
  return news;
}

absl::StatusOr<bool> Coordinator::WasRecorded(const Event& event) {
  const std::lock_guard lock(mutex_);
  absl::StatusOr<bool> recorded = ledger_.WasRecorded(event, Now());
  GPTVQ_RETURN_IF_ERROR(CountRollback(recorded.status()));
  return recorded;
}

absl::StatusOr<std::vector<Digest>> Coordinator::BeginDeletions() {
  const std::lock_guard lock(mutex_);
  return ledger_.BeginDeletions(Now());
}

absl::StatusOr<std::vector<Digest>> Coordinator::EndDeletions(const std::vector<Digest>& deleted,
                                                              const std::vector<Digest>& in_doubt) {
  const std::lock_guard lock(mutex_);
  return ledger_.EndDeletions(deleted, in_doubt, Now());
}

absl::Status Coordinator::DoomUnknown(const std::vector<Digest>& stored) {
  const std::lock_guard lock(mutex_);
  return ledger_.DoomUnknown(stored, Now());
}

std::vector<DoomedArtifact> Coordinator::ListDoomed() const {
  const std::lock_guard lock(mutex_);
  std::vector<DoomedArtifact> rows;
  for (const auto& [artifact, row] : ledger_.artifacts().rows()) rows.push_back(row);
  return rows;
}

void Coordinator::RecordLocked(absl::Span<Proposal* const> batch) {
  const MonotonicTime begin = clock_.MonotonicNow();
  std::vector<Proposal*> admitted;
  for (Proposal* proposal : batch) {
    if (draining_ && BeginsWork(proposal->event)) {
      proposal->answer = Stopping();
    } else {
      admitted.push_back(proposal);
    }
  }
  ledger_.RecordAll(admitted, Now());
  const std::chrono::duration<double> duration = clock_.MonotonicNow() - begin;

  bool work = false, changed = false;
  for (const Proposal* proposal : admitted) {
    if (!CountRollback(proposal->answer.status()).ok()) continue;
    const Decision& decision = *proposal->answer;
    const bool progressed = std::holds_alternative<RenewLease>(proposal->event);
    metrics_.CountDecision(decision);
    if (!decision.transition.empty()) metrics_.journal_seconds.Observe(duration.count());
    work = work || MakesWork(decision.transition);
    changed = changed || progressed || !decision.transition.empty();
    if (progressed) ++progress_version_;
  }
  if (work) WakePolls();
  if (changed) changed_.notify_all();
}

absl::StatusOr<Decision> Coordinator::RecordLocked(const Event& event) {
  Proposal proposal = {event};
  Proposal* const one = &proposal;
  RecordLocked({&one, 1});
  return std::move(proposal.answer);
}

absl::Status Coordinator::CountRollback(absl::Status status) {
  if (ReasonOf(status) == ErrorReason::kRollbackSuspected) metrics_.rollbacks.Increment();
  return status;
}

void Coordinator::WakePolls() {
  ++work_version_;
  work_changed_.notify_all();
}

void Coordinator::LetTimePass() {
  const std::lock_guard lock(mutex_);
  while (true) {
    NoticeOwnSilence();
    // A journal that does not answer freezes the reaper too; the next tick tries again.
    const absl::StatusOr<Decision> decision = RecordLocked(Tick{});
    if (!decision.ok() || decision->outcome == Outcome::kNothing) break;
  }
  const absl::Status readiness = CatchUp();
  ShowReadiness(readiness);
  ShowStanding(readiness);
  // Rests end as time passes, without an event.
  if (!ledger_.scheduler().ready().empty()) WakePolls();
  changed_.notify_all();
}

// A journal that took long to answer, or a process that did not run, kept renewals waiting: those who are alive must be
// heard before anybody is given up. A failure is no matter: leases begin anew when the journal is read again.
void Coordinator::NoticeOwnSilence() {
  const MonotonicTime now = clock_.MonotonicNow();
  if (now - last_tick_ > options_.scheduler.lease_ttl / 2) (void)RecordLocked(ForgiveSilence{});
  last_tick_ = now;
}

absl::Status Coordinator::CatchUp() {
  GPTVQ_RETURN_IF_ERROR(ledger_.CheckInStep());
  if (ready_ == true) return absl::OkStatus();
  for (const auto& [sequence, job] : ledger_.scheduler().jobs()) {
    const std::string& job_id = job.description.job_id;
    GPTVQ_ASSIGN_OR_RETURN(const std::vector<PublishedLayer> layers, store_.ReadLayers(job_id));
    metrics_.RecallLayers(job_id, layers);
  }
  return absl::OkStatus();
}

void Coordinator::ShowReadiness(const absl::Status& readiness) {
  if (draining_ || ready_ == readiness.ok()) return;
  ready_ = readiness.ok();
  metrics_.ready.Set(readiness.ok() ? 1 : 0);
  observer_(readiness);
}

// One that was deposed knows how jobs and workers stood then; how they stand is for the leader to show, or sums over both
// would count them twice. A journal that does not answer has no other to show it: workers go on, and so does what was shown.
void Coordinator::ShowStanding(const absl::Status& readiness) {
  if (ReasonOf(readiness) == ErrorReason::kNotLeading) {
    metrics_.ShowStanding(Scheduler(options_.scheduler), Now());
  } else if (readiness.ok()) {
    metrics_.ShowStanding(ledger_.scheduler(), Now());
  }
}

void Coordinator::RunTicker(std::stop_token stop) {
  while (!stop.stop_requested()) {
    LetTimePass();
    clock_.Sleep(options_.tick_period, stop);
  }
}

}  // namespace gptvq

#include "tests/sim/sim_coordinator.h"

#include <utility>

#include "core/base/status_macros.h"
#include "platform/rpc/crc32c.h"
#include "server/grant.h"
#include "server/layer_receiver.h"
#include "server/lost_inputs.h"
#include "server/stored_outputs.h"

namespace gptvq {

using std::chrono::milliseconds;

namespace {

// Graces that are over while jobs run.
GarbageOptions DrawGarbageOptions(SimWorld& world) {
  GarbageOptions options;
  options.artifact_grace = world.Between(0, 120'000);
  options.boundary_grace = world.Between(0, 60'000);
  if (world.Chance(0.5)) options.unknown_grace = world.Between(0, 180'000);
  options.max_deleting = 1 + static_cast<int>(world.Below(8));
  return options;
}

// Half of the runs record each event by itself, as a coordinator does that has time; the others gather more or fewer.
milliseconds DrawGatheringTime(SimWorld& world) {
  return world.Chance(0.5) ? milliseconds(0) : world.Between(1, 5'000);
}

}  // namespace

SimCoordinator::SimCoordinator(SimWorld& world, SimChecker& checker, JobStore& journal, ObjectStore& objects)
    : world_(world),
      checker_(checker),
      journal_(journal, world, checker),
      objects_(objects, world, checker),
      artifacts_(objects_),
      garbage_(DrawGarbageOptions(world)),
      gathering_time_(DrawGatheringTime(world)) {
  StartForGood();
  Tick();
  CollectGarbage();
}

SchedulerOptions SimCoordinator::Options() {
  SchedulerOptions options;
  options.retained_jobs = 1;
  options.max_active_jobs = 2;
  options.stall_after = std::chrono::seconds(60);  // so that there is time for many
  options.dispute_patience = std::chrono::seconds(120);
  options.trust.first_quarantine = std::chrono::seconds(60);
  options.trust.longest_quarantine = std::chrono::minutes(8);
  options.trust.probe_period = std::chrono::seconds(30);
  return options;
}

void SimCoordinator::Call(const SimRequest& request, const SimLink& link, SimHandler on_answer) {
  if (world_.now().monotonic < link.requests_cut_until) return;
  const int copies = world_.Strikes(SimFault::kDuplicate) ? 2 : 1;
  for (int copy = 0; copy < copies; ++copy) {
    if (world_.Strikes(SimFault::kDrop)) continue;
    world_.After(world_.Latency(), [this, request, &link, on_answer] { Arrive(request, link, on_answer); });
  }
}

void SimCoordinator::Arrive(const SimRequest& request, const SimLink& link, const SimHandler& on_answer) {
  const auto asleep = std::chrono::duration_cast<milliseconds>(awake_at_ - world_.now().monotonic);
  if (asleep.count() > 0) {
    return world_.After(asleep, [this, request, &link, on_answer] { Arrive(request, link, on_answer); });
  }
  if (ledger_ == nullptr) return;  // nobody listens
  const auto* publish = std::get_if<PublishLayer>(&request.event);
  const auto* complete = std::get_if<CompleteTask>(&request.event);
  const auto* fail = std::get_if<FailTask>(&request.event);
  if (fail != nullptr && !fail->lost.empty()) return LookForLost(*fail, link, on_answer);
  const auto* checkpoint = std::get_if<CheckpointTask>(&request.event);
  if (publish == nullptr && complete == nullptr && checkpoint == nullptr) return Propose(request, {}, link, on_answer);
  Looked looked = {absl::OkStatus(), ledger_->artifacts().deletion_count()};
  if (publish != nullptr) {
    looked = Receive(*publish, request.upload);
    if (!looked.stored.ok()) return Answer({looked.stored, std::nullopt}, link, on_answer);
  } else if (complete != nullptr) {
    looked.stored = CheckOutputsStored(complete->result, artifacts_);
  } else {
    looked.stored = ledger_->scheduler().CheckHolder(checkpoint->lease);
    if (looked.stored.ok()) looked.stored = CheckStored("checkpoint", checkpoint->checkpoint.artifact, artifacts_);
    if (!looked.stored.ok()) return Answer({looked.stored, std::nullopt}, link, on_answer);
  }
  // Bytes and answers of the store take their time; what was true before may not be when they are there.
  world_.After(world_.Latency(), [this, request, looked, &link, on_answer, life = life_] {
    if (ledger_ != nullptr && life == life_) Propose(request, looked, link, on_answer);
  });
}

// As GrpcWorkerService::Fail.
void SimCoordinator::LookForLost(FailTask event, const SimLink& link, const SimHandler& on_answer) {
  std::vector<Digest> inputs;
  if (ledger_->scheduler().CheckHolder(event.lease).ok()) {
    const auto found = ledger_->scheduler().FindTask(event.lease.task_id);
    for (const TaskInput& input : InputsOf(*found->job, *found->task)) inputs.push_back(input.artifact);
  }
  const auto lost = FindLostInputs(event.lost, inputs, artifacts_);
  if (!lost.ok()) return Answer({lost.status(), std::nullopt}, link, on_answer);
  checker_.OnFoundLost(event.lost, inputs, *lost);
  event.lost = *lost;
  world_.After(world_.Latency(), [this, event, &link, on_answer, life = life_] {
    if (ledger_ != nullptr && life == life_) Propose({event, ""}, {}, link, on_answer);
  });
}

// As GrpcWorkerService: what a result names is stored before the journal names it.
void SimCoordinator::Propose(const SimRequest& request, const Looked& looked, const SimLink& link,
                             const SimHandler& on_answer) {
  if (!looked.stored.ok()) {
    const absl::StatusOr<bool> repeated = ledger_->WasRecorded(request.event, world_.now());
    const absl::Status refusal = repeated.ok() ? looked.stored : repeated.status();
    if (!repeated.ok() || !*repeated) {
      checker_.OnRefused(request.event, refusal);
      return Answer({refusal, std::nullopt}, link, on_answer);
    }
  }
  waiting_.push_back({request, looked.seen, &link, on_answer});
  if (gathering_time_ == milliseconds(0)) return RecordWaiting();
  if (waiting_.size() > 1) return;  // it is on its way
  world_.After(gathering_time_, [this, life = life_] {
    if (ledger_ != nullptr && life == life_) RecordWaiting();
  });
}

void SimCoordinator::RecordWaiting() {
  const auto asleep = std::chrono::duration_cast<milliseconds>(awake_at_ - world_.now().monotonic);
  if (asleep.count() > 0) {
    return world_.After(asleep, [this, life = life_] {
      if (ledger_ != nullptr && life == life_) RecordWaiting();
    });
  }
  const std::vector<Waiting> waiting = std::exchange(waiting_, {});
  std::vector<Proposal> proposals;
  std::vector<Proposal*> batch;
  proposals.reserve(waiting.size());
  for (const Waiting& one : waiting) batch.push_back(&proposals.emplace_back(Proposal{one.request.event, one.seen}));
  RecordAll(batch);
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    Answer(AnswerOf(proposals[i]), *waiting[i].link, waiting[i].on_answer);
  }
}

void SimCoordinator::Answer(const SimAnswer& answer, const SimLink& link, const SimHandler& on_answer) {
  if (world_.Strikes(SimFault::kDrop) || world_.now().monotonic < link.answers_cut_until) return;
  world_.After(world_.Latency(), [answer, on_answer] { on_answer(answer); });
}

void SimCoordinator::StartForGood() {
  if (ledger_ != nullptr) return;
  auto ledger = std::make_unique<Ledger>(journal_, Options(), garbage_);
  if (ledger->Load(world_.now()).ok()) {
    ledger_ = std::move(ledger);
    ++life_;
    deletions_under_way_ = 0;
    world_.Trace("coordinator starts");
  } else {  // as a supervisor would
    world_.After(milliseconds(1'000), [this] { StartForGood(); });
  }
}

void SimCoordinator::Tick() {
  if (world_.Strikes(SimFault::kJournalOutage)) journal_.GoAway(world_.Between(1'000, 90'000));
  if (world_.Strikes(SimFault::kArtifactLoss)) objects_.LoseAnObject();
  if (ledger_ != nullptr && world_.Strikes(SimFault::kCoordinatorCrash)) {
    world_.Trace("coordinator dies");
    ledger_.reset();
    waiting_.clear();
    world_.After(world_.Between(100, 60'000), [this] { StartForGood(); });
  }
  if (world_.Strikes(SimFault::kCoordinatorPause)) {
    const milliseconds pause = world_.Between(1'000, 90'000);
    awake_at_ = world_.now().monotonic + pause;
    return world_.After(pause, [this] { Tick(); });
  }
  // As Coordinator::NoticeOwnSilence.
  if (ledger_ != nullptr && world_.now().monotonic - last_tick_ > Options().lease_ttl / 2)
    (void)Record(ForgiveSilence{});
  last_tick_ = world_.now().monotonic;
  while (ledger_ != nullptr) {
    const absl::StatusOr<Decision> decision = Record(gptvq::Tick{});
    if (!decision.ok() || decision->outcome == Outcome::kNothing) break;
  }
  world_.After(milliseconds(1'000), [this] { Tick(); });
}

void SimCoordinator::RecordAll(absl::Span<Proposal* const> batch) {
  checker_.OnBatch(batch);
  ledger_->RecordAll(batch, world_.now());
  checker_.OnRecorded(*ledger_);
}

absl::StatusOr<Decision> SimCoordinator::Record(const Event& event) {
  Proposal proposal = {event};
  Proposal* const one = &proposal;
  RecordAll({&one, 1});
  return std::move(proposal.answer);
}

// As Coordinator::FindGrant: a poll gets the task that it was granted, unless it lost it again in the same batch.
SimAnswer SimCoordinator::AnswerOf(const Proposal& proposal) {
  SimAnswer answer = {proposal.answer, std::nullopt};
  const auto* poll = std::get_if<PollTask>(&proposal.event);
  if (poll == nullptr || !answer.decision.ok() || answer.decision->outcome == Outcome::kNothing) return answer;
  const absl::Status in_step = ledger_->CheckInStep();
  if (!in_step.ok()) return {in_step, std::nullopt};
  const auto found = ledger_->scheduler().FindTask(answer.decision->task_id);
  if (!found.ok() || !IsLeasedTo(found->task->status, *poll)) {
    answer.decision->outcome = Outcome::kNothing;
    return answer;
  }
  auto layers = journal_.ReadLayers(found->job->description.job_id);
  if (!layers.ok()) return {layers.status(), std::nullopt};
  answer.grant = MakeGrant(*found->job, found->task->description.index, Options().lease_ttl, *layers);
  checker_.OnGranted(*answer.grant);
  return answer;
}

SimCoordinator::Looked SimCoordinator::Receive(const PublishLayer& event, const std::string& upload) {
  DeletionCount seen = 0;
  const absl::Status stored = Store(event, upload, seen);
  return {stored, seen};
}

absl::Status SimCoordinator::Store(const PublishLayer& event, const std::string& upload, DeletionCount& seen) {
  GPTVQ_RETURN_IF_ERROR(ledger_->CheckHolder(event.lease, world_.now()));
  std::string bytes = upload;
  // Damage that no checksum of a chunk would show: only the digest can.
  if (world_.Strikes(SimFault::kDamagedUpload)) bytes[0] = static_cast<char>(bytes[0] ^ 1);
  GPTVQ_ASSIGN_OR_RETURN(LayerReceiver receiver,
                         LayerReceiver::Open({event.layer.artifact, "uploads/sim"}, artifacts_));
  const std::size_t half = bytes.size() / 2;
  for (const auto& [offset, chunk] : {std::pair(std::size_t{0}, bytes.substr(0, half)), {half, bytes.substr(half)}}) {
    GPTVQ_RETURN_IF_ERROR(receiver.Append(offset, chunk, Crc32c(chunk)));
  }
  seen = ledger_->artifacts().deletion_count();
  return receiver.Finish();
}

// As GarbageCollector, at any moment, and with requests to the store on their way for as long as messages are.
void SimCoordinator::CollectGarbage() {
  world_.After(world_.Between(500, 30'000), [this] { CollectGarbage(); });
  // A process waits for what it asked of the store; the next one does not know what is still on its way.
  if (ledger_ == nullptr || world_.now().monotonic < awake_at_ || deletions_under_way_ > 0) return;
  if (world_.Chance(0.2)) {
    std::vector<Digest> stored;
    const auto objects = objects_.List("artifacts", ListScope::kRecursive);
    for (const ObjectInfo& object : *objects) {
      stored.push_back(*Digest::FromHex(object.key.substr(object.key.rfind('/') + 1), object.size_bytes));
    }
    (void)ledger_->DoomUnknown(stored, world_.now());
  }
  const auto deleting = ledger_->BeginDeletions(world_.now());
  if (deleting.ok()) Delete(*deleting);
}

void SimCoordinator::Delete(const std::vector<Digest>& artifacts) {
  deletions_under_way_ = static_cast<int>(artifacts.size());
  for (const Digest& artifact : artifacts) {
    // The request gets there whatever becomes of its sender.
    world_.After(world_.Latency(), [this, artifact, life = life_] {
      const bool deleted = artifacts_.DeleteArtifact(artifact).ok();
      world_.After(world_.Latency(), [this, artifact, life, deleted] {
        if (ledger_ == nullptr || life != life_) return;
        --deletions_under_way_;
        const std::vector<Digest> one = {artifact};
        (void)ledger_->EndDeletions(deleted ? one : std::vector<Digest>(), deleted ? std::vector<Digest>() : one,
                                    world_.now());
      });
    });
  }
}

}  // namespace gptvq

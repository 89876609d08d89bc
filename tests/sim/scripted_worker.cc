#include "tests/sim/scripted_worker.h"

#include <array>
#include <utility>

#include "platform/job/error_reason.h"
#include "tests/sim/sim_artifacts.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAnswerTimeout(3'000);
constexpr char kSlot[] = "slot";

Digest DigestOfText(const std::string& text) { return Digest::Of(AsBytes(text)); }

TaskResult ResultOf(const TaskGrant& grant, const Digest& boundary) {
  switch (grant.kind) {
    case TaskKind::kCapture: return {{}, CaptureResult{boundary}};
    case TaskKind::kQuantize:
      return {{}, QuantizeResult{grant.output_boundary_wanted ? std::optional(boundary) : std::nullopt}};
    case TaskKind::kFinalize: {
      std::vector<Digest> layers;
      for (const PublishedLayer& layer : grant.published_layers) layers.push_back(layer.artifact);
      return {{}, FinalizeResult{1, SimManifest(layers)}};
    }
    case TaskKind::kEvaluate: return {{}, EvaluateResult{10, 100}};
    case TaskKind::kAudit: break;  // never granted as such
  }
  return {};
}

FailureClass AnyFailureClass(SimWorld& world) {
  constexpr std::array kClasses = {FailureClass::kInfra,     FailureClass::kTransient, FailureClass::kDevice,
                                   FailureClass::kBug,       FailureClass::kTransient, FailureClass::kInput,
                                   FailureClass::kTransient, FailureClass::kInfra,     FailureClass::kFatal};
  return kClasses[static_cast<std::size_t>(world.Below(kClasses.size()))];
}

SimRequest Publication(const Lease& lease, int layer, const std::string& bytes) {
  return {PublishLayer{lease, {layer, DigestOfText(bytes), {}}}, bytes};
}

std::vector<Digest> InputsOf(const TaskGrant& grant) {
  std::vector<Digest> inputs;
  if (grant.input_boundary) inputs.push_back(*grant.input_boundary);
  for (const PublishedLayer& layer : grant.published_layers) inputs.push_back(layer.artifact);
  return inputs;
}

SimRequest CheckpointOf(const TaskGrant& task, int layer, int linears, std::int64_t sequence, const Digest& artifact) {
  LinearReport report;
  report.name = "linear";
  return {CheckpointTask{task.lease, {layer, sequence, artifact, std::vector<LinearReport>(linears, report)}}, ""};
}

// Of a worker that computes right.
SimRequest CheckpointOf(const TaskGrant& task, int layer, int linears, std::int64_t sequence) {
  return CheckpointOf(task, layer, linears, sequence, DigestOfText(SimCheckpoint(task.spec, layer, linears)));
}

TaskResult ResultOf(const TaskGrant& grant) {
  return ResultOf(grant, DigestOfText(SimBoundary(grant.spec, grant.layers.end)));
}

}  // namespace

ScriptedWorker::ScriptedWorker(std::string name, std::string numerics_class, SimWorld& world,
                               SimCoordinator& coordinator, SimChecker& checker)
    : name_(std::move(name)),
      numerics_class_(std::move(numerics_class)),
      world_(world),
      coordinator_(coordinator),
      checker_(checker),
      pace_(0.7 + 0.6 * world.Uniform()),
      mute_(world.Chance(0.25)) {
  Start();
  LiveOneSecond();
}

void ScriptedWorker::Retire() {
  retired_ = true;
  up_ = false;
  ++life_;
}

void ScriptedWorker::Start() {
  if (retired_) return;
  ++life_;
  up_ = true;
  wedged_ = false;
  awake_at_ = world_.now().monotonic;
  Register();
}

void ScriptedWorker::Crash() {
  ++life_;  // whatever this process had planned is void
  up_ = false;
  task_.reset();
  world_.After(world_.Between(100, 60'000), [this] { Start(); });
}

void ScriptedWorker::LiveOneSecond() {
  if (up_ && world_.Strikes(SimFault::kWorkerCrash)) {
    Crash();
  } else if (up_ && world_.Strikes(SimFault::kWorkerPause)) {
    awake_at_ = world_.now().monotonic + world_.Between(5'000, 120'000);
  } else if (world_.Strikes(SimFault::kCut)) {
    MonotonicTime& until = world_.Chance(0.5) ? link_.requests_cut_until : link_.answers_cut_until;
    until = world_.now().monotonic + world_.Between(5'000, 90'000);
  }
  if (world_.Strikes(SimFault::kBadWorker)) bad_until_ = world_.now().monotonic + world_.Between(60'000, 400'000);
  if (world_.Strikes(SimFault::kWrongBytes)) {
    wrong_until_ = world_.now().monotonic + world_.Between(20'000, 200'000);
    always_wrong_ = world_.Chance(0.5);
  }
  if (world_.Strikes(SimFault::kSickDevice)) {
    sick_until_ = world_.now().monotonic + world_.Between(10'000, 200'000);
    sickness_ = world_.Chance(0.5) ? DeviceCondition::kReset : DeviceCondition::kReboot;
  }
  world_.After(milliseconds(1'000), [this] { LiveOneSecond(); });
}

std::vector<DeviceHealth> ScriptedWorker::Devices() const {
  const bool sick = world_.now().monotonic < sick_until_;
  return {{kSlot, sick ? sickness_ : DeviceCondition::kHealthy, 0, ""}};
}

void ScriptedWorker::Register() {
  const WorkerKey self = {name_, std::to_string(life_)};
  Ask({RegisterWorker{self, numerics_class_, "1", {{kSlot, "", 0}}, Devices()}, ""}, [this](const SimAnswer& answer) {
    if (!answer.decision.ok()) return Later(milliseconds(1'000), [this] { Register(); });
    Poll(0);
  });
}

void ScriptedWorker::Poll(int poll) {
  const WorkerKey self = {name_, std::to_string(life_)};
  Ask({PollTask{self, "poll-" + std::to_string(poll), kSlot, Devices()}, ""}, [this, poll](const SimAnswer& answer) {
    if (ReasonOf(answer.decision.status()) == ErrorReason::kWorkerUnknown) return Register();
    if (answer.grant) {
      BeginTask(*answer.grant);
    } else {
      Later(milliseconds(2'000), [this, poll] { Poll(poll + 1); });
    }
  });
}

void ScriptedWorker::BeginTask(const TaskGrant& grant) {
  task_ = grant;
  progress_ = 0;
  wedged_ = false;
  next_layer_ = grant.layers.begin;
  has_read_ = false;
  origins_ = grant.input_boundary ? checker_.OriginsOf(*grant.input_boundary) : std::vector<std::string>();
  SkipPublishedLayers();
  linears_ = 0;
  sequence_ = grant.checkpoint ? grant.checkpoint->sequence : 0;
  const bool readable = world_.Chance(0.9);  // what cannot be read is computed again
  if (grant.checkpoint && readable) {
    linears_ = static_cast<int>(grant.checkpoint->linears.size());
    origins_ = checker_.OriginsOf(grant.checkpoint->artifact);
  }
  Renew();
  InTask(world_.Between(500, 20'000), [this] { Work(); });
}

void ScriptedWorker::Renew() {
  const Lease lease = task_->lease;
  if (!wedged_ && !mute_) ++progress_;
  RenewLease renewal;
  renewal.lease = lease;
  renewal.progress = {progress_, 0.5, next_layer_, ""};
  renewal.devices = Devices();
  coordinator_.Call({renewal, ""}, link_, [this, lease, life = life_](const SimAnswer& answer) {
    if (life != life_ || !task_ || !(task_->lease == lease)) return;
    if (world_.now().monotonic < awake_at_) return;
    if (!answer.decision.ok()) return OnRefusal(answer.decision.status());
    if (answer.decision->outcome == Outcome::kCancelRequested) Release();
  });
  const auto period = std::chrono::duration_cast<milliseconds>(task_->ttl * pace_ / 3);
  InTask(period, [this] { Renew(); });
}

void ScriptedWorker::Work() {
  if (wedged_) return;
  if (world_.Strikes(SimFault::kBlunder)) Blunder();
  if (world_.Strikes(SimFault::kWedge)) {
    wedged_ = true;
    return;
  }
  if (world_.now().monotonic < bad_until_) return Fail(FailureClass::kTransient);
  if (world_.Strikes(SimFault::kTaskFailure)) return Fail(AnyFailureClass(world_));
  if (world_.Strikes(SimFault::kTaskRelease)) return Release();
  if (!has_read_) return ReadInputs();
  if (task_->kind == TaskKind::kQuantize && next_layer_ < task_->layers.end) {
    return linears_ < kSimLinears && world_.Chance(0.5) ? KeepCheckpoint() : PublishNextLayer();
  }
  if (task_->output_boundary_wanted) return StoreBoundary();
  Complete();
}

void ScriptedWorker::Blunder() {
  const SimHandler ignore = [](const SimAnswer&) {};
  const auto send = [&](const SimRequest& request) { coordinator_.Call(request, link_, ignore); };
  const Lease& lease = task_->lease;
  for (int layer : {next_layer_ + 1, task_->layers.end, task_->layers.begin - 1}) {
    send(Publication(lease, layer, SimLayer(task_->spec, layer)));
  }
  if (next_layer_ > task_->layers.begin) send(Publication(lease, next_layer_ - 1, "other bytes"));
  for (int layer : {next_layer_ - 1, next_layer_ + 1, task_->layers.end, task_->layers.begin - 1}) {
    send(CheckpointOf(*task_, layer, 1, sequence_ + 1));
  }
  if (linears_ > 0) send(CheckpointOf(*task_, next_layer_, 1, sequence_ - 1));
  SimRequest unstored = CheckpointOf(*task_, next_layer_, 1, sequence_ + 1);
  std::get<CheckpointTask>(unstored.event).checkpoint.artifact = DigestOfText("never stored");
  send(unstored);
  const bool early = next_layer_ < task_->layers.end || task_->output_boundary_wanted;
  if (task_->kind == TaskKind::kQuantize && early) send({CompleteTask{lease, ResultOf(*task_)}, ""});
  if (task_->output_boundary_wanted) send({CompleteTask{lease, {{}, QuantizeResult{}}}, ""});
  send({CompleteTask{lease, {{}, EvaluateResult{1, 1}}}, ""});

  Lease forged[4] = {lease, lease, lease, lease};
  forged[0].epoch += 1;
  forged[1].epoch -= 1;
  forged[2].worker_name = "nobody";
  forged[3].incarnation = "never";
  for (const Lease& other : forged) {
    send({RenewLease{other, {}}, ""});
    SimRequest checkpoint = CheckpointOf(*task_, next_layer_, 1, sequence_ + 1);
    std::get<CheckpointTask>(checkpoint.event).lease = other;
    send(checkpoint);
    send({FailTask{other, {FailureClass::kTransient, "forged", name_}}, ""});
  }
}

void ScriptedWorker::SkipPublishedLayers() {
  if (task_->kind != TaskKind::kQuantize) return;
  for (const PublishedLayer& layer : task_->published_layers) {
    if (layer.layer != next_layer_) continue;
    ++next_layer_;
    origins_ = checker_.OriginsOf(layer.artifact);
  }
}

void ScriptedWorker::ReadInputs() {
  std::vector<Digest> lost;
  for (const Digest& input : InputsOf(*task_)) {
    const absl::Status read = coordinator_.artifacts().OpenArtifact(input).status();
    if (absl::IsUnavailable(read)) return InTask(milliseconds(1'000), [this] { ReadInputs(); });
    if (!read.ok()) lost.push_back(input);
  }
  if (!lost.empty()) return Fail(FailureClass::kTransient, lost);
  has_read_ = true;
  InTask(world_.Between(500, 20'000), [this] { Work(); });
}

void ScriptedWorker::KeepCheckpoint() {
  ++linears_;
  const std::string bytes = Tainted(SimCheckpoint(task_->spec, next_layer_, linears_));
  const auto stored = coordinator_.artifacts().PutArtifact(AsBytes(bytes));
  const auto go_on = [this] { InTask(world_.Between(500, 20'000), [this] { Work(); }); };
  if (!stored.ok()) return go_on();
  Ask(CheckpointOf(*task_, next_layer_, linears_, ++sequence_, DigestOfText(bytes)),
      [this, go_on](const SimAnswer& answer) {
        if (!task_) return;
        const absl::Status& status = answer.decision.status();
        const auto reason = ReasonOf(status);
        // Found, and then deleted; or overtaken by one of its own blunders.
        const bool not_kept = reason == ErrorReason::kOutputMissing || reason == ErrorReason::kCheckpointOutdated;
        if (status.ok() || not_kept) return go_on();
        OnRefusal(status);
      });
}

void ScriptedWorker::PublishNextLayer() {
  AskAboutTask(Publication(task_->lease, next_layer_, Tainted(SimLayer(task_->spec, next_layer_))), [this] {
    ++next_layer_;
    SkipPublishedLayers();
    linears_ = 0;
    sequence_ = 0;
    InTask(world_.Between(500, 20'000), [this] { Work(); });
  });
}

std::string ScriptedWorker::Taint() {
  const bool wrong = world_.now().monotonic < wrong_until_ && (always_wrong_ || world_.Chance(0.3));
  if (wrong) {
    origins_.push_back(task_->lease.task_id + " on " + name_ + " at " + std::to_string(world_.elapsed().count()));
    checker_.OnComputedWrong(name_);
  }
  std::string taint;
  for (const std::string& origin : origins_) taint += "; wrong in " + origin;
  return taint;
}

std::string ScriptedWorker::Tainted(std::string bytes) {
  bytes += Taint();
  if (!origins_.empty()) checker_.OnWrong(DigestOfText(bytes), origins_);
  return bytes;
}

void ScriptedWorker::StoreBoundary() {
  boundary_ = Tainted(SimBoundary(task_->spec, task_->layers.end));
  KeepBoundary();
}

void ScriptedWorker::KeepBoundary() {
  const auto stored = coordinator_.artifacts().PutArtifact(AsBytes(boundary_));
  if (stored.ok()) return Complete();
  InTask(milliseconds(1'000), [this] { KeepBoundary(); });
}

void ScriptedWorker::Complete() {
  AskAboutTask({CompleteTask{task_->lease, ResultOf(*task_, DigestOfText(boundary_))}, ""}, [this] {
    if (world_.Strikes(SimFault::kBlunder)) {
      const SimHandler ignore = [](const SimAnswer&) {};
      coordinator_.Call({ReleaseTask{task_->lease}, ""}, link_, ignore);
      coordinator_.Call({FailTask{task_->lease, {FailureClass::kTransient, "too late", name_}}, ""}, link_, ignore);
    }
    EndTask();
  });
}

void ScriptedWorker::Fail(FailureClass failure_class, const std::vector<Digest>& lost) {
  FailTask event = {task_->lease, {failure_class, "simulated", name_}, lost};
  // One that names what is there, or what it does not read, is not believed.
  if (world_.Strikes(SimFault::kBlunder)) event.lost = InputsOf(*task_);
  if (world_.Strikes(SimFault::kBlunder)) event.lost.push_back(DigestOfText(SimBoundary(task_->spec, 1)));
  AskAboutTask({event, ""}, [this] { EndTask(); });
}

void ScriptedWorker::Release() {
  AskAboutTask({ReleaseTask{task_->lease}, ""}, [this] { EndTask(); });
}

void ScriptedWorker::EndTask() {
  task_.reset();
  Poll(static_cast<int>(world_.Below(1'000'000'000)));
}

void ScriptedWorker::Later(milliseconds delay, std::function<void()> action) {
  world_.After(delay, [this, life = life_, action = std::move(action)] {
    if (life != life_) return;
    const auto asleep = std::chrono::duration_cast<milliseconds>(awake_at_ - world_.now().monotonic);
    if (asleep.count() > 0) return Later(asleep, action);
    action();
  });
}

void ScriptedWorker::InTask(milliseconds delay, std::function<void()> action) {
  Later(delay, [this, lease = task_->lease, action = std::move(action)] {
    if (task_ && task_->lease == lease) action();
  });
}

void ScriptedWorker::Ask(const SimRequest& request, const Handler& on_answer) { Send(++question_, request, on_answer); }

void ScriptedWorker::Send(std::int64_t question, const SimRequest& request, const Handler& on_answer) {
  coordinator_.Call(request, link_, [this, question, on_answer, life = life_](const SimAnswer& answer) {
    if (life != life_ || question != question_) return;
    // What may pass by itself is asked again after the timeout below.
    if (absl::IsUnavailable(answer.decision.status()) || absl::IsDataLoss(answer.decision.status())) return;
    const auto asleep = world_.now().monotonic < awake_at_;
    if (asleep) return;  // its socket buffer is not read; asked again on waking up
    ++question_;
    on_answer(answer);
  });
  Later(kAnswerTimeout, [this, question, request, on_answer] {
    if (question == question_) Send(question, request, on_answer);
  });
}

void ScriptedWorker::AskAboutTask(const SimRequest& request, std::function<void()> on_ok) {
  Ask(request, [this, on_ok = std::move(on_ok)](const SimAnswer& answer) {
    if (!task_) return;
    if (!answer.decision.ok()) return OnRefusal(answer.decision.status());
    on_ok();
  });
}

void ScriptedWorker::OnRefusal(const absl::Status& status) {
  const auto reason = ReasonOf(status);
  if (reason == ErrorReason::kJobCancelled) return Release();
  if (reason == ErrorReason::kStaleEpoch || reason == ErrorReason::kNotHeld || reason == ErrorReason::kTaskUnknown) {
    return EndTask();
  }
  if (absl::IsUnavailable(status)) return;                                       // of a heartbeat; the next one follows
  if (reason == ErrorReason::kOutputMissing && task_->output_boundary_wanted) {  // it was found, and then deleted
    return InTask(milliseconds(1'000), [this] { KeepBoundary(); });
  }
  // Somebody before it, or itself, was wrong.
  if (reason == ErrorReason::kLayerConflict || reason == ErrorReason::kBoundaryConflict)
    return Fail(FailureClass::kBug);
  checker_.Violate(Invariant::kPeers, name_ + " was refused: " + status.ToString());
  EndTask();
}

}  // namespace gptvq

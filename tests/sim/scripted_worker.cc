#include "tests/sim/scripted_worker.h"

#include <array>
#include <memory>
#include <utility>

#include "core/base/file.h"
#include "platform/job/error_reason.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAnswerTimeout(3'000);

TaskResult ResultOf(const TaskGrant& grant) {
  const auto digest = [&](const std::string& what) { return Digest::Of(AsBytes(what + grant.lease.task_id)); };
  switch (grant.kind) {
    case TaskKind::kCapture: return {{}, CaptureResult{digest("boundary of ")}};
    case TaskKind::kQuantize:
      return {{}, QuantizeResult{grant.output_boundary_wanted ? std::optional(digest("boundary of ")) : std::nullopt}};
    case TaskKind::kFinalize: return {{}, FinalizeResult{1, digest("manifest of ")}};
    case TaskKind::kEvaluate: return {{}, EvaluateResult{10, 100}};
  }
  return {};
}

}  // namespace

Digest SimLayer(const std::string& job_id, int layer) {
  const std::string name = job_id + " layer " + std::to_string(layer);
  return Digest::Of(AsBytes(name));
}

ScriptedWorker::ScriptedWorker(std::string name, SimWorld& world, SimCoordinator& coordinator, SimChecker& checker)
    : name_(std::move(name)), world_(world), coordinator_(coordinator), checker_(checker) {
  Start();
  LiveOneSecond();
}

void ScriptedWorker::Start() {
  ++life_;
  up_ = true;
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
  if (up_ && world_.Chance(world_.faults().worker_crash)) {
    Crash();
  } else if (up_ && world_.Chance(world_.faults().worker_pause)) {
    awake_at_ = world_.now().monotonic + world_.Between(5'000, 120'000);
  }
  world_.After(milliseconds(1'000), [this] { LiveOneSecond(); });
}

void ScriptedWorker::Register() {
  const WorkerKey self = {name_, std::to_string(life_)};
  Ask(RegisterWorker{self, "cpu", "1", {}}, [this](const SimAnswer& answer) {
    if (!answer.decision.ok()) return Later(milliseconds(1'000), [this] { Register(); });
    Poll(0);
  });
}

void ScriptedWorker::Poll(int poll) {
  const WorkerKey self = {name_, std::to_string(life_)};
  Ask(PollTask{self, "poll-" + std::to_string(poll)}, [this, poll](const SimAnswer& answer) {
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
  next_layer_ = grant.layers.begin;
  if (grant.kind == TaskKind::kQuantize) {
    for (const PublishedLayer& layer : grant.published_layers) {
      if (layer.layer != next_layer_++) checker_.Violation("the grant's published layers are no prefix of the shard");
    }
  }
  if (grant.kind == TaskKind::kFinalize && static_cast<int>(grant.published_layers.size()) != grant.layer_count) {
    checker_.Violation("a finalize grant lacks layers");
  }
  const bool needs_boundary =
      grant.layers.begin > 0 && (grant.kind == TaskKind::kCapture || grant.kind == TaskKind::kQuantize);
  if (grant.input_boundary.has_value() != needs_boundary) checker_.Violation("a grant has the wrong boundary");
  Renew();
  Later(world_.Between(500, 20'000), [this] { Work(); });
}

void ScriptedWorker::Renew() {
  const Lease lease = task_->lease;
  coordinator_.Call(RenewLease{lease, {++progress_, 0.5, next_layer_, ""}},
                    [this, lease, life = life_](const SimAnswer& answer) {
                      if (life != life_ || !task_ || !(task_->lease == lease) || world_.now().monotonic < awake_at_)
                        return;
                      if (!answer.decision.ok()) return OnRefusal(answer.decision.status());
                      if (answer.decision->outcome == Outcome::kCancelRequested) Release();
                    });
  Later(task_->ttl / 3, [this, lease] {
    if (task_ && task_->lease == lease) Renew();
  });
}

void ScriptedWorker::Work() {
  if (!task_) return;
  if (world_.Chance(world_.faults().blunder)) Blunder();
  if (world_.Chance(world_.faults().task_failure)) return Fail();
  if (world_.Chance(world_.faults().task_release)) return Release();
  if (task_->kind == TaskKind::kQuantize && next_layer_ < task_->layers.end) return PublishNextLayer();
  Complete();
}

void ScriptedWorker::Blunder() {
  const SimHandler ignore = [](const SimAnswer&) {};
  const Lease& lease = task_->lease;
  for (int layer : {next_layer_ + 1, task_->layers.end, -1}) {
    coordinator_.Call(PublishLayer{lease, {layer, SimLayer(task_->job_id, layer), {}}}, ignore);
  }
  if (next_layer_ < task_->layers.end) coordinator_.Call(CompleteTask{lease, ResultOf(*task_)}, ignore);
  coordinator_.Call(CompleteTask{lease, {{}, EvaluateResult{1, 1}}}, ignore);
  Lease never_granted = lease;
  never_granted.epoch += 1;
  coordinator_.Call(RenewLease{never_granted, {}}, ignore);
}

void ScriptedWorker::PublishNextLayer() {
  const Digest artifact = SimLayer(task_->job_id, next_layer_);
  AskAboutTask(PublishLayer{task_->lease, {next_layer_, artifact, {}}}, [this, artifact] {
    checker_.OnLayerAcknowledged(task_->job_id, next_layer_, artifact);
    ++next_layer_;
    Later(world_.Between(500, 20'000), [this] { Work(); });
  });
}

void ScriptedWorker::Complete() {
  AskAboutTask(CompleteTask{task_->lease, ResultOf(*task_)}, [this] { EndTask(); });
}

void ScriptedWorker::Fail() {
  constexpr std::array kClasses = {FailureClass::kInfra, FailureClass::kTransient, FailureClass::kDevice,
                                   FailureClass::kBug,   FailureClass::kTransient, FailureClass::kFatal};
  const FailureClass failure_class = kClasses[static_cast<std::size_t>(world_.Below(kClasses.size()))];
  AskAboutTask(FailTask{task_->lease, {failure_class, "simulated", name_}}, [this] { EndTask(); });
}

void ScriptedWorker::Release() {
  AskAboutTask(ReleaseTask{task_->lease}, [this] { EndTask(); });
}

void ScriptedWorker::EndTask() {
  task_.reset();
  Poll(static_cast<int>(world_.Below(1'000'000)));
}

void ScriptedWorker::Later(milliseconds delay, std::function<void()> action) {
  world_.After(delay, [this, life = life_, action = std::move(action)] {
    if (life != life_) return;
    const auto asleep = std::chrono::duration_cast<milliseconds>(awake_at_ - world_.now().monotonic);
    if (asleep.count() > 0) return Later(asleep, action);
    action();
  });
}

void ScriptedWorker::Ask(const Event& event, std::function<void(const SimAnswer&)> on_answer) {
  Send(++question_, event, on_answer);
}

void ScriptedWorker::Send(std::int64_t question, const Event& event,
                          const std::function<void(const SimAnswer&)>& on_answer) {
  coordinator_.Call(event, [this, question, on_answer, life = life_](const SimAnswer& answer) {
    if (life != life_ || question != question_) return;
    if (absl::IsUnavailable(answer.decision.status())) return;  // the timeout below repeats it
    const auto asleep = world_.now().monotonic < awake_at_;
    if (asleep) return;  // its socket buffer is not read; asked again on waking up
    ++question_;
    on_answer(answer);
  });
  Later(kAnswerTimeout, [this, question, event, on_answer] {
    if (question == question_) Send(question, event, on_answer);
  });
}

void ScriptedWorker::AskAboutTask(const Event& event, std::function<void()> on_ok) {
  Ask(event, [this, on_ok = std::move(on_ok)](const SimAnswer& answer) {
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
  if (absl::IsUnavailable(status)) return;  // of a heartbeat; the next one follows
  checker_.Violation(name_ + " was refused: " + status.ToString());
  EndTask();
}

}  // namespace gptvq

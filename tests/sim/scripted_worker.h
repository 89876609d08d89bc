#ifndef GPTVQ_TESTS_SIM_SCRIPTED_WORKER_H_
#define GPTVQ_TESTS_SIM_SCRIPTED_WORKER_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/sim_coordinator.h"

namespace gptvq {

// A worker process by the rules of worker_service.proto: registers, polls, renews, publishes, completes; repeats what got
// no answer; drops what it lost. It crashes and restarts as another incarnation, pauses long enough to become a zombie,
// wedges, loses one direction of its link, fails and releases tasks, and blunders, as the faults say. Borrows everything.
class ScriptedWorker {
 public:
  ScriptedWorker(std::string name, std::string numerics_class, SimWorld& world, SimCoordinator& coordinator,
                 SimChecker& checker);

  // Its process dies and does not come back.
  void Retire();

 private:
  using Handler = std::function<void(const SimAnswer&)>;

  void Start();
  void Crash();
  void LiveOneSecond();
  void Register();
  void Poll(int poll);
  void BeginTask(const TaskGrant& grant);
  void Renew();
  // As its device is just now.
  std::vector<DeviceHealth> Devices() const;
  void Work();
  // Sends what no correct worker sends, with its own lease and with forged ones, and ignores the answers.
  void Blunder();
  void SkipPublishedLayers();
  // What the grant names; then goes on, or says that it is lost.
  void ReadInputs();
  // Finishes a linear of the layer and keeps what is finished.
  void KeepCheckpoint();
  void PublishNextLayer();
  void StoreBoundary();
  // Text behind the right bytes of what it computes now, and of what it computed that from; empty where all of it is right. Two
  // that are wrong are never wrong alike.
  std::string Taint();
  // Makes what has come out wrong known to the checker.
  std::string Tainted(std::string bytes);
  void KeepBoundary();
  void Complete();
  void Fail(FailureClass failure_class, const std::vector<Digest>& lost = {});
  void Release();
  void EndTask();

  // Runs `action` later unless this process has died since; a paused process does it when it wakes up.
  void Later(std::chrono::milliseconds delay, std::function<void()> action);
  // The same unless the current task was let go since.
  void InTask(std::chrono::milliseconds delay, std::function<void()> action);
  // Sends `request` until it is answered, then runs `on_answer` once.
  void Ask(const SimRequest& request, const Handler& on_answer);
  void Send(std::int64_t question, const SimRequest& request, const Handler& on_answer);
  // As Ask about the current task; runs `on_ok` if the task is still ours, else lets it go.
  void AskAboutTask(const SimRequest& request, std::function<void()> on_ok);
  void OnRefusal(const absl::Status& status);

  const std::string name_;
  const std::string numerics_class_;
  SimWorld& world_;
  SimCoordinator& coordinator_;
  SimChecker& checker_;
  const double pace_;  // of its clock: 1 is that of everybody else
  const bool mute_;    // it never counts its progress: only what it publishes shows it

  SimLink link_;
  std::int64_t life_ = 0;  // which process this is; its incarnation
  bool up_ = false;
  bool retired_ = false;
  MonotonicTime awake_at_;            // paused until then
  MonotonicTime bad_until_;           // it fails every task until then
  MonotonicTime wrong_until_;         // what it computes is so until then
  bool always_wrong_ = false;         // then, or now and then
  std::vector<std::string> origins_;  // tasks and workers of whose errors what it works on is made
  MonotonicTime sick_until_;          // its device is so until then
  DeviceCondition sickness_ = DeviceCondition::kReset;
  std::int64_t question_ = 0;  // numbers questions, so that late answers are known
  std::optional<TaskGrant> task_;
  int next_layer_ = 0;  // to be computed; the end of the shard if none is
  bool has_read_ = false;
  int linears_ = 0;            // finished of it
  std::string boundary_;       // the bytes
  std::int64_t sequence_ = 0;  // of its last checkpoint
  std::uint64_t progress_ = 0;
  bool wedged_ = false;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SCRIPTED_WORKER_H_

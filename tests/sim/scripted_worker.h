#ifndef GPTVQ_TESTS_SIM_SCRIPTED_WORKER_H_
#define GPTVQ_TESTS_SIM_SCRIPTED_WORKER_H_

#include <optional>
#include <string>

#include "tests/sim/sim_coordinator.h"

namespace gptvq {

// The bytes of layer `layer` of a job, by their digest: the same whoever computes them.
Digest SimLayer(const std::string& job_id, int layer);

// A worker process by the rules of worker_service.proto: registers, polls, renews, publishes, completes; repeats what got
// no answer; drops what it lost. It crashes and restarts as another incarnation, pauses long enough to become a zombie,
// fails and releases tasks, and blunders, as the faults say.
class ScriptedWorker {
 public:
  ScriptedWorker(std::string name, SimWorld& world, SimCoordinator& coordinator, SimChecker& checker);

 private:
  using Handler = std::function<void(const absl::StatusOr<Decision>&, const SimAnswer&)>;

  void Start();
  void Crash();
  void LiveOneSecond();
  void Register();
  void Poll(int poll);
  void BeginTask(const TaskGrant& grant);
  void Renew();
  void Work();
  // Sends a layer out of turn, a result too early, and a lease that was never granted, and ignores the answers.
  void Blunder();
  void PublishNextLayer();
  void Complete();
  void Fail();
  void Release();
  void EndTask();

  // Runs `action` later unless this process has died since; a paused process does it when it wakes up.
  void Later(std::chrono::milliseconds delay, std::function<void()> action);
  // Sends `event` until it is answered, then runs `on_answer` once.
  void Ask(const Event& event, std::function<void(const SimAnswer&)> on_answer);
  void Send(std::int64_t question, const Event& event, const std::function<void(const SimAnswer&)>& on_answer);
  // As Ask about the current task; runs `on_ok` if the task is still ours, else lets it go.
  void AskAboutTask(const Event& event, std::function<void()> on_ok);
  void OnRefusal(const absl::Status& status);

  const std::string name_;
  SimWorld& world_;
  SimCoordinator& coordinator_;
  SimChecker& checker_;

  std::int64_t life_ = 0;  // which process this is; its incarnation
  bool up_ = false;
  MonotonicTime awake_at_;     // paused until then
  std::int64_t question_ = 0;  // numbers questions, so that late answers are known
  std::optional<TaskGrant> task_;
  int next_layer_ = 0;
  std::uint64_t progress_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SCRIPTED_WORKER_H_

#ifndef GPTVQ_TESTS_SERVER_SCHEDULER_SCHEDULER_HARNESS_H_
#define GPTVQ_TESTS_SERVER_SCHEDULER_SCHEDULER_HARNESS_H_

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "platform/job/error_reason.h"
#include "server/planner.h"
#include "server/scheduler/scheduler.h"
#include "tests/support/job_builders.h"

namespace gptvq {

// A scheduler with hand-turned time; what it decides is applied at once, and every event it writes is kept.
class SchedulerHarness {
 public:
  explicit SchedulerHarness(SchedulerOptions options = {}) : scheduler(options) {}

  absl::StatusOr<Decision> Do(const Event& event) {
    auto decision = scheduler.Decide(event, now);
    if (decision.ok()) {
      scheduler.Apply(*decision);
      for (const JobEvent& one : decision->transition.events) events.push_back(one);
    }
    return decision;
  }

  void Advance(std::chrono::milliseconds duration) {
    now.monotonic += duration;
    now.wall += duration;
    while (Do(Tick{})->outcome != Outcome::kNothing) {
    }
  }

  // Submits `spec` for a model of `layers` layers; returns the job id.
  std::string Submit(const JobSpec& spec, int layers, const std::string& job_id = "job-1", double audit_fraction = 0) {
    SubmitJob event;
    const JobPlan plan = *PlanJob(spec, layers, job_id, audit_fraction);
    event.job.job_id = job_id;
    event.job.request_id = "request of " + job_id;
    event.job.spec = spec;
    event.job.layer_count = layers;
    event.job.shard_layers = plan.shard_layers;
    event.tasks = plan.tasks;
    EXPECT_TRUE(Do(event).ok());
    return job_id;
  }

  WorkerKey Register(const std::string& name, const std::string& numerics_class = "cpu") {
    const WorkerKey worker = {name, "incarnation of " + name};
    EXPECT_TRUE(Do(RegisterWorker{worker, numerics_class, "1", {}}).ok());
    return worker;
  }

  // The task granted to `worker`; an empty lease when there is none.
  Lease Poll(const WorkerKey& worker, const std::string& poll_id = "") {
    const auto decision = Do(PollTask{worker, poll_id.empty() ? "poll-" + std::to_string(++polls_) : poll_id});
    EXPECT_TRUE(decision.ok()) << decision.status();
    if (!decision.ok() || decision->outcome == Outcome::kNothing) return {};
    const Task& task = TaskOf(decision->task_id);
    return {decision->task_id, task.status.epoch, worker.name, worker.incarnation, ""};
  }

  absl::StatusOr<Decision> Publish(const Lease& lease, int layer) {
    return Do(PublishLayer{lease, {layer, DigestOf("layer " + std::to_string(layer)), {ALinearReport("q")}}});
  }

  // Does the work of a granted task and completes it.
  absl::StatusOr<Decision> Finish(const Lease& lease) {
    const Task task = TaskOf(lease.task_id);
    if (task.description.kind == TaskKind::kQuantize) {
      const JobSnapshot& job = *scheduler.FindTask(lease.task_id)->job;
      for (int layer = task.description.layers.begin; layer < task.description.layers.end; ++layer) {
        if (job.layers[layer] != Digest()) continue;
        EXPECT_TRUE(Publish(lease, layer).ok());
      }
    }
    return Do(CompleteTask{lease, ResultFor(task.description)});
  }

  static TaskResult ResultFor(const TaskDescription& task) {
    const Digest boundary = DigestOf("boundary after " + std::to_string(task.layers.end));
    switch (task.kind) {
      case TaskKind::kCapture: return {{}, CaptureResult{boundary}};
      case TaskKind::kQuantize:
        return {{}, QuantizeResult{task.output_boundary_wanted ? std::optional(boundary) : std::nullopt}};
      case TaskKind::kFinalize: return {{}, FinalizeResult{1000, DigestOf("manifest")}};
      case TaskKind::kEvaluate: return {{}, EvaluateResult{10.0, 100}};
      case TaskKind::kAudit: break;  // its result is of the kind that is audited
    }
    return {};
  }

  const Task& TaskOf(const std::string& task_id) { return *scheduler.FindTask(task_id)->task; }
  TaskState StateOf(const std::string& task_id) { return TaskOf(task_id).status.state; }
  JobState JobStateOf(const std::string& job_id) { return scheduler.FindJob(job_id)->status.state; }

  Scheduler scheduler;
  Instant now = {MonotonicTime(std::chrono::hours(1)), WallTime(std::chrono::hours(1000))};
  std::vector<JobEvent> events;

 private:
  int polls_ = 0;
};

inline ErrorReason ReasonOfError(const absl::Status& status) {
  const auto reason = ReasonOf(status);
  EXPECT_TRUE(reason.has_value()) << status;
  return reason.value_or(ErrorReason::kStopping);
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SERVER_SCHEDULER_SCHEDULER_HARNESS_H_

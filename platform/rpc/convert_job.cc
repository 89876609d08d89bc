#include "platform/rpc/convert_job.h"

#include <algorithm>

#include "core/base/status_macros.h"
#include "platform/rpc/convert_enum.h"
#include "platform/rpc/convert_spec.h"
#include "platform/rpc/convert_task.h"
#include "platform/rpc/convert_time.h"

namespace gptvq {
namespace {

// Layers of `range` that are published: a prefix of it.
int PublishedLayers(const JobSnapshot& job, LayerRange range) {
  const auto begin = job.layers.begin() + range.begin;
  return static_cast<int>(
      std::count_if(begin, begin + range.count(), [](const Digest& digest) { return digest != Digest(); }));
}

v1::Task TaskToProto(const JobSnapshot& job, const Task& task, const std::map<std::string, TaskProgress>& progress) {
  const TaskDescription& description = task.description;
  v1::Task proto;
  proto.set_task_id(description.task_id);
  proto.set_kind(ToProto(description.kind));
  proto.set_state(ToProto(task.status.state));
  *proto.mutable_layers() = ToProto(description.layers);
  proto.set_epoch(task.status.epoch);
  proto.set_attempt(task.status.attempt);
  proto.set_worker_name(task.status.worker_name);
  const auto entry = progress.find(description.task_id);
  if (entry != progress.end()) *proto.mutable_progress() = ToProto(entry->second);
  if (task.status.last_failure) *proto.mutable_last_failure() = ToProto(*task.status.last_failure);
  if (description.kind == TaskKind::kQuantize) {
    proto.set_published_layers(PublishedLayers(job, description.layers));
  }
  if (task.status.audit.outcome) proto.set_audit_outcome(ToProto(*task.status.audit.outcome));
  if (description.target) proto.set_evaluation_target(ToProto(*description.target));
  return proto;
}

}  // namespace

v1::JobState ToProto(JobState state) {
  switch (state) {
    case JobState::kPending: return v1::JOB_STATE_PENDING;
    case JobState::kRunning: return v1::JOB_STATE_RUNNING;
    case JobState::kFinalizing: return v1::JOB_STATE_FINALIZING;
    case JobState::kSucceeded: return v1::JOB_STATE_SUCCEEDED;
    case JobState::kFailing: return v1::JOB_STATE_FAILING;
    case JobState::kFailed: return v1::JOB_STATE_FAILED;
    case JobState::kCancelling: return v1::JOB_STATE_CANCELLING;
    case JobState::kCancelled: return v1::JOB_STATE_CANCELLED;
  }
  return v1::JOB_STATE_UNSPECIFIED;
}

absl::StatusOr<JobState> FromProto(v1::JobState state) { return EnumFromProto(kAllJobStates, state, "state"); }

v1::Job ToProto(const JobSnapshot& job, const std::map<std::string, TaskProgress>& progress, JobDetail detail) {
  const JobDescription& description = job.description;
  const JobStatus& status = job.status;
  v1::Job proto;
  proto.set_job_id(description.job_id);
  *proto.mutable_spec() = ToProto(description.spec);
  proto.set_state(ToProto(status.state));
  *proto.mutable_create_time() = ToProto(description.create_time);
  if (status.end_time) *proto.mutable_end_time() = ToProto(*status.end_time);
  proto.set_layer_count(description.layer_count);
  proto.set_shard_layers(description.shard_layers);
  proto.set_published_layers(status.published_layers);
  proto.set_task_count(description.task_count);
  proto.set_committed_task_count(status.committed_tasks);
  if (status.failure) *proto.mutable_failure() = ToProto(*status.failure);
  proto.set_numerics_class(status.numerics_class);
  proto.set_last_event_seq(status.last_event_seq);
  if (detail == JobDetail::kFull) {
    for (const Task& task : job.tasks) *proto.add_tasks() = TaskToProto(job, task, progress);
  }
  return proto;
}

v1::JobEvent ToProto(const JobEvent& event) {
  v1::JobEvent proto;
  proto.set_event_seq(event.seq);
  *proto.mutable_time() = ToProto(event.time);
  if (const auto* job = std::get_if<JobStateChange>(&event.what)) {
    proto.mutable_job_state()->set_from(ToProto(job->from));
    proto.mutable_job_state()->set_to(ToProto(job->to));
  } else if (const auto* task = std::get_if<TaskStateChange>(&event.what)) {
    v1::TaskStateChange* change = proto.mutable_task_state();
    change->set_task_id(task->task_id);
    change->set_from(ToProto(task->from));
    change->set_to(ToProto(task->to));
    change->set_trigger(std::string(Name(task->trigger)));
    change->set_epoch(task->epoch);
    change->set_worker_name(task->worker_name);
    if (task->failure) *change->mutable_failure() = ToProto(*task->failure);
  } else {
    const auto& layer = std::get<LayerPublished>(event.what);
    proto.mutable_layer_published()->set_task_id(layer.task_id);
    proto.mutable_layer_published()->set_layer(layer.layer);
    *proto.mutable_layer_published()->mutable_artifact() = ToProto(layer.artifact);
  }
  return proto;
}

absl::StatusOr<JobEvent> FromProto(const v1::JobEvent& proto) {
  JobEvent event = {.seq = proto.event_seq(), .time = FromProto(proto.time()), .what = {}};
  switch (proto.event_case()) {
    case v1::JobEvent::kJobState: {
      JobStateChange change;
      GPTVQ_ASSIGN_OR_RETURN(change.from, FromProto(proto.job_state().from()));
      GPTVQ_ASSIGN_OR_RETURN(change.to, FromProto(proto.job_state().to()));
      event.what = change;
      return event;
    }
    case v1::JobEvent::kTaskState: {
      const v1::TaskStateChange& change = proto.task_state();
      TaskStateChange task;
      task.task_id = change.task_id();
      GPTVQ_ASSIGN_OR_RETURN(task.from, FromProto(change.from()));
      GPTVQ_ASSIGN_OR_RETURN(task.to, FromProto(change.to()));
      const auto trigger = ParseTaskTrigger(change.trigger());
      if (!trigger) return Refuse(ErrorReason::kInvalidField, "trigger: unknown");
      task.trigger = *trigger;
      task.epoch = change.epoch();
      task.worker_name = change.worker_name();
      if (change.has_failure()) task.failure = FromProto(change.failure());
      event.what = std::move(task);
      return event;
    }
    case v1::JobEvent::kLayerPublished: {
      LayerPublished layer = {proto.layer_published().task_id(), proto.layer_published().layer(), {}};
      GPTVQ_ASSIGN_OR_RETURN(layer.artifact, FromProto(proto.layer_published().artifact()));
      event.what = std::move(layer);
      return event;
    }
    case v1::JobEvent::kTaskProgress:
    case v1::JobEvent::EVENT_NOT_SET: break;
  }
  return Refuse(ErrorReason::kInvalidField, "event: not a durable event");
}

}  // namespace gptvq

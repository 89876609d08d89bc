#include "server/submission.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/model/linear_role.h"
#include "platform/job/error_reason.h"
#include "platform/job/request_id.h"
#include "platform/object_store/object_uri.h"
#include "server/planner.h"

namespace gptvq {
namespace {

absl::Status CheckUri(absl::string_view field, const std::string& uri) {
  const absl::Status parsed = ObjectUri::Parse(uri).status();
  if (parsed.ok()) return parsed;
  return Refuse(ErrorReason::kInvalidField, absl::StrCat(field, ": ", parsed.message()));
}

absl::Status CheckUris(const JobSpec& spec) {
  GPTVQ_RETURN_IF_ERROR(CheckUri("model_uri", spec.model_uri));
  for (const std::string& uri : spec.calibration_uris) GPTVQ_RETURN_IF_ERROR(CheckUri("calibration_uris", uri));
  if (!spec.evaluation_uri.empty()) GPTVQ_RETURN_IF_ERROR(CheckUri("evaluation_uri", spec.evaluation_uri));
  return CheckUri("output_uri", spec.output_uri);
}

// A storage that does not answer may answer later; anything else is wrong with the place: empty, or `otherwise`.
absl::Status RefusePlace(absl::string_view place, const absl::Status& cause, ErrorReason otherwise) {
  if (cause.ok() || absl::IsUnavailable(cause)) return cause;
  return Refuse(absl::IsNotFound(cause) ? ErrorReason::kInputMissing : otherwise,
                absl::StrCat(place, ": ", cause.message()));
}

// A width that vectors do not divide is better told now than by a worker in the middle of the work.
absl::Status CheckWidths(const ModelConfig& config, const QuantSpec& quant) {
  if (quant.method != QuantMethod::kGptvq) return absl::OkStatus();
  for (const LinearRole role : kLinearRoles) {
    const std::int64_t cols = ShapeOf(config, role).cols;
    if (cols % quant.vector_dim == 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(std::string(LinearName(role)), " has ", cols,
                                                   " columns, no multiple of vector_dim ", quant.vector_dim,
                                                   "; choose a preset with a smaller dimension"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AcceptedJob> Submission::Submit(const SubmissionRequest& request) {
  if (!IsRequestId(request.request_id)) {
    return Refuse(ErrorReason::kInvalidField, "request_id: not a UUID of 36 lower-case characters");
  }
  const std::string job_id = JobIdFor(request.request_id);
  // A repetition is answered without looking at the model, which may have moved since.
  const absl::StatusOr<StandingJob> known = coordinator_.FindJob(job_id);
  JobDescription wanted;
  wanted.owner = request.owner;
  wanted.spec = request.spec;
  if (known.ok() && IsRepetition(known->job.description, wanted)) return AcceptedJob{job_id, {}};

  GPTVQ_ASSIGN_OR_RETURN(Prepared prepared, Prepare(job_id, request.spec));
  prepared.event.job.request_id = request.request_id;
  prepared.event.job.owner = request.owner;
  GPTVQ_RETURN_IF_ERROR(coordinator_.Record(std::move(prepared.event)).status());
  return AcceptedJob{job_id, std::move(prepared.model.warnings)};
}

absl::StatusOr<PlannedJob> Submission::Plan(const JobSpec& spec) {
  GPTVQ_ASSIGN_OR_RETURN(Prepared prepared, Prepare("", spec));
  SubmitJob& event = prepared.event;
  const MemoryPlanInput input = {.sample_count = spec.samples,
                                 .sequence_length = spec.sequence_length,
                                 .source_bytes_per_weight = prepared.model.bytes_per_weight};
  const auto plan_memory = [&](PlannedDevice device) {
    return PlanMemory(prepared.model.config, spec.quant, input, device);
  };
  PlannedJob planned = {.job = {},
                        .warnings = std::move(prepared.model.warnings),
                        .memory_on_cpu = plan_memory(PlannedDevice::kCpu),
                        .memory_on_gpu = plan_memory(PlannedDevice::kGpu)};
  JobSnapshot& job = planned.job;
  job.description = std::move(event.job);
  job.description.task_count = static_cast<int>(event.tasks.size());
  job.description.create_time = coordinator_.Now().wall;
  job.layers.resize(job.description.layer_count);
  for (TaskDescription& description : event.tasks) job.tasks.push_back({std::move(description), {}});
  return planned;
}

absl::StatusOr<Submission::Prepared> Submission::Prepare(const std::string& job_id, const JobSpec& spec) {
  GPTVQ_RETURN_IF_ERROR(CheckUris(spec));
  GPTVQ_RETURN_IF_ERROR(CheckPlaces(spec));
  const std::string model = absl::StrCat("model ", spec.model_uri);
  absl::StatusOr<ModelSummary> summary = probe_.SummarizeModel(spec.model_uri);
  if (!summary.ok()) return RefusePlace(model, summary.status(), ErrorReason::kModelUnusable);
  const absl::Status widths = CheckWidths(summary->config, spec.quant);
  if (!widths.ok()) return RefusePlace(model, widths, ErrorReason::kModelUnusable);
  absl::StatusOr<JobPlan> plan = PlanJob(spec, summary->layer_count, job_id, coordinator_.options().audit_fraction);
  if (!plan.ok()) return RefusePlace(model, plan.status(), ErrorReason::kModelUnusable);

  SubmitJob event;
  event.job.job_id = job_id;
  event.job.spec = spec;
  event.job.layer_count = summary->layer_count;
  event.job.shard_layers = plan->shard_layers;
  event.tasks = std::move(plan->tasks);
  return Prepared{std::move(event), *std::move(summary)};
}

absl::Status Submission::CheckPlaces(const JobSpec& spec) {
  for (const std::string& uri : spec.calibration_uris) {
    GPTVQ_RETURN_IF_ERROR(RefusePlace("calibration_uris", probe_.CheckText(uri), ErrorReason::kInvalidField));
  }
  if (!spec.evaluation_uri.empty()) {
    GPTVQ_RETURN_IF_ERROR(
        RefusePlace("evaluation_uri", probe_.CheckText(spec.evaluation_uri), ErrorReason::kInvalidField));
  }
  return RefusePlace("output_uri", probe_.CheckOutput(spec.output_uri), ErrorReason::kInvalidField);
}

std::string JobIdFor(std::string_view request_id) {
  return "job-" + Digest::Of(AsBytes(request_id)).hex().substr(0, 16);
}

}  // namespace gptvq

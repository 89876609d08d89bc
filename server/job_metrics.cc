#include "server/job_metrics.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/str_format.h"
#include "core/model/linear_role.h"
#include "platform/job/progress.h"

namespace gptvq {
namespace {

constexpr std::size_t kMaxModelNameBytes = 64;

double UnixSeconds(WallTime time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); }

// The last part of a URI, for people; what is no printable ASCII becomes '?', so that any URI makes a valid label.
std::string ModelName(std::string_view uri) {
  while (uri.ends_with('/')) uri.remove_suffix(1);
  uri.remove_prefix(uri.rfind('/') + 1);  // npos + 1 is 0
  std::string name(uri.substr(0, kMaxModelNameBytes));
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return name;
}

std::string RoleLabel(std::string_view linear_name) {
  const std::optional<LinearRole> role = RoleOf(linear_name);
  return role ? std::string(Name(*role)) : "other";
}

// Of a task's layers, the share that is published: what a lost attempt leaves behind.
double PublishedFraction(const JobSnapshot& job, const TaskDescription& task) {
  if (task.kind != TaskKind::kQuantize || task.layers.count() == 0) return 0;
  int published = 0;
  for (int layer = task.layers.begin; layer < task.layers.end; ++layer) published += job.layers[layer] != Digest();
  return static_cast<double>(published) / task.layers.count();
}

double DoneFraction(const JobSnapshot& job, const Scheduler& scheduler) {
  double total = 0;
  double done = 0;
  for (const Task& task : job.tasks) {
    const auto held = scheduler.held().find({job.description.sequence, task.description.index});
    const TaskProgress progress = held == scheduler.held().end() ? TaskProgress() : held->second.progress;
    const double work = WorkOf(task.description.kind, task.description.layers);
    total += work;
    done += work * std::max(DoneFraction(task.status.state, progress), PublishedFraction(job, task.description));
  }
  return total > 0 ? done / total : 0;
}

}  // namespace

JobMetrics::JobMetrics(MetricsRegistry& registry)
    : info_(registry.AddGaugeTable("job_info", "Always 1; the labels say what the job is.",
                                   {"job_id", "model", "preset", "propagation"})),
      state_(registry.AddGaugeTable("job_state", "1 for the present state of the job; the others have no series.",
                                    {"job_id", "state"})),
      layers_(registry.AddGaugeTable("job_layers", "Layers of the job's model.", {"job_id"})),
      published_layers_(registry.AddGaugeTable("job_published_layers", "Layers that were committed.", {"job_id"})),
      held_tasks_(registry.AddGaugeTable("job_held_tasks", "Tasks of the job that a worker holds.", {"job_id"})),
      progress_(
          registry.AddGaugeTable("job_progress_ratio", "Share of the job's work that is done, 0 to 1.", {"job_id"})),
      eta_(registry.AddGaugeTable("job_eta_seconds",
                                  "Time until the job ends at its latest pace; no series while it is not known.",
                                  {"job_id"})),
      bits_per_value_(
          registry.AddGaugeTable("job_bits_per_value", "Bits per weight of the layers committed so far.", {"job_id"})),
      create_time_(
          registry.AddGaugeTable("job_create_time_seconds", "When the job was submitted, in Unix time.", {"job_id"})),
      end_time_(registry.AddGaugeTable("job_end_time_seconds", "When the job ended, in Unix time; no series before.",
                                       {"job_id"})),
      relative_error_(registry.AddGaugeTable("job_linear_relative_error",
                                             "tr(E H E^T) / tr(W H W^T) of a committed linear of the job.",
                                             {"job_id", "layer", "role"})),
      hidden_(registry.AddGauge("jobs_hidden", "Jobs that have not ended and have no series of their own.")) {}

void JobMetrics::AddLayer(const std::string& job_id, const PublishedLayer& layer) {
  History& history = histories_[job_id];
  for (const LinearReport& linear : layer.linears) {
    history.bits += linear.bits;
    history.errors.push_back({absl::StrFormat("%03d", layer.layer), RoleLabel(linear.name), linear.relative_error});
  }
  errors_changed_ = true;
}

void JobMetrics::ReplaceLayers(const std::string& job_id, const std::vector<PublishedLayer>& layers) {
  History& history = histories_[job_id];
  history.bits = BitCount();
  history.errors.clear();
  errors_changed_ = true;
  for (const PublishedLayer& layer : layers) AddLayer(job_id, layer);
}

void JobMetrics::Show(const Scheduler& scheduler, Instant now) {
  std::map<std::int64_t, int> held_tasks;
  for (const auto& [key, lease] : scheduler.held()) ++held_tasks[key.sequence];
  std::vector<GaugeTable::Row> info, state, layers, published_layers, held, progress, eta, bits, create_time, end_time;
  const std::vector<const JobSnapshot*> shown = ChooseShown(scheduler, now.wall);
  for (const JobSnapshot* job : shown) {
    const JobDescription& description = job->description;
    const JobStatus& status = job->status;
    const std::string& id = description.job_id;
    History& history = histories_[id];
    const double done = status.state == JobState::kSucceeded ? 1 : DoneFraction(*job, scheduler);
    info.push_back({{id, ModelName(description.spec.model_uri), description.spec.preset,
                     std::string(Name(description.spec.propagation))},
                    1});
    state.push_back({{id, std::string(Name(status.state))}, 1});
    layers.push_back({{id}, static_cast<double>(description.layer_count)});
    published_layers.push_back({{id}, static_cast<double>(status.published_layers)});
    held.push_back({{id}, static_cast<double>(held_tasks[description.sequence])});
    progress.push_back({{id}, done});
    create_time.push_back({{id}, UnixSeconds(description.create_time)});
    if (status.end_time) end_time.push_back({{id}, UnixSeconds(*status.end_time)});
    if (history.bits.weights > 0) bits.push_back({{id}, history.bits.bits_per_value()});
    if (IsTerminal(status.state)) continue;
    history.pace.Observe(now.monotonic, done);
    if (const auto seconds = history.pace.SecondsLeft(now.monotonic)) eta.push_back({{id}, *seconds});
  }
  info_.Replace(std::move(info));
  state_.Replace(std::move(state));
  layers_.Replace(std::move(layers));
  published_layers_.Replace(std::move(published_layers));
  held_tasks_.Replace(std::move(held));
  progress_.Replace(std::move(progress));
  eta_.Replace(std::move(eta));
  bits_per_value_.Replace(std::move(bits));
  create_time_.Replace(std::move(create_time));
  end_time_.Replace(std::move(end_time));
  ShowErrors(shown);
  std::erase_if(histories_, [&](const auto& entry) { return scheduler.FindJob(entry.first) == nullptr; });
}

std::vector<const JobSnapshot*> JobMetrics::ChooseShown(const Scheduler& scheduler, WallTime now) {
  std::vector<const JobSnapshot*> shown;
  std::vector<const JobSnapshot*> ended;
  std::size_t active_count = 0;
  for (const auto& [sequence, job] : scheduler.jobs()) {
    if (!IsTerminal(job.status.state)) {
      if (active_count++ < kMaxShownJobs) shown.push_back(&job);
    } else if (job.status.end_time && now - *job.status.end_time < kShownAfterEnd) {
      ended.push_back(&job);
    }
  }
  hidden_.Set(static_cast<double>(active_count - shown.size()));
  for (auto job = ended.rbegin(); job != ended.rend() && shown.size() < kMaxShownJobs; ++job) shown.push_back(*job);
  return shown;
}

// A large table that seldom changes, unlike the others.
void JobMetrics::ShowErrors(const std::vector<const JobSnapshot*>& shown) {
  std::vector<std::string> ids;
  for (const JobSnapshot* job : shown) ids.push_back(job->description.job_id);
  if (ids == shown_ids_ && !errors_changed_) return;
  std::vector<GaugeTable::Row> rows;
  for (const std::string& id : ids) {
    for (const LinearError& error : histories_[id].errors) {
      rows.push_back({{id, error.layer, error.role}, error.relative_error});
    }
  }
  relative_error_.Replace(std::move(rows));
  shown_ids_ = std::move(ids);
  errors_changed_ = false;
}

}  // namespace gptvq

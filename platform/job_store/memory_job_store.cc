#include "platform/job_store/memory_job_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

absl::Status NoJob(std::string_view job_id) {
  return absl::NotFoundError(absl::StrCat("no job ", std::string(job_id)));
}

absl::Status OutdatedWriter(std::string_view job_id) {
  return absl::AbortedError(absl::StrCat("job ", std::string(job_id), " was changed by somebody else"));
}

// The state that a doomed artifact must be in before a step; nullopt: it must not be doomed.
std::optional<DoomState> StateBefore(DoomStep step) {
  switch (step) {
    case DoomStep::kDoom: return std::nullopt;
    case DoomStep::kSpare:
    case DoomStep::kBeginDelete: return DoomState::kDoomed;
    case DoomStep::kForget: return DoomState::kDeleting;
  }
  return std::nullopt;
}

absl::Status CheckDoomed(const std::map<Digest, DoomedArtifact>& doomed, const std::vector<DoomChange>& changes) {
  for (const DoomChange& change : changes) {
    const std::string hex = change.row.artifact.hex();
    const auto row = doomed.find(change.row.artifact);
    const bool exists = row != doomed.end();
    const std::optional<DoomState> before = StateBefore(change.step);
    if (!before && exists) return absl::AlreadyExistsError(absl::StrCat("the artifact ", hex, " is doomed"));
    if (before && (!exists || row->second.state != *before)) {
      return absl::AbortedError(absl::StrCat("the doomed artifact ", hex, " was changed by somebody else"));
    }
  }
  return absl::OkStatus();
}

void ChangeDoomed(const DoomChange& change, std::map<Digest, DoomedArtifact>& doomed) {
  switch (change.step) {
    case DoomStep::kDoom: doomed[change.row.artifact] = change.row; break;
    case DoomStep::kBeginDelete: doomed[change.row.artifact].state = DoomState::kDeleting; break;
    case DoomStep::kSpare:
    case DoomStep::kForget: doomed.erase(change.row.artifact); break;
  }
}

bool FitsRevisions(const JobSnapshot& job, const Transition& transition) {
  if (transition.job && transition.job->revision != job.status.revision + 1) return false;
  return std::all_of(transition.tasks.begin(), transition.tasks.end(), [&](const Transition::TaskChange& change) {
    return change.status.revision == job.tasks[change.index].status.revision + 1;
  });
}

}  // namespace

absl::StatusOr<JobStore::State> MemoryJobStore::LoadActive() {
  const std::lock_guard lock(mutex_);
  State state;
  for (const auto& [job_id, entry] : tables_.entries) {
    state.last_sequence = std::max(state.last_sequence, entry.job.description.sequence);
    if (!IsTerminal(entry.job.status.state)) state.active_jobs.push_back(entry.job);
  }
  std::sort(state.active_jobs.begin(), state.active_jobs.end(),
            [](const JobSnapshot& a, const JobSnapshot& b) { return a.description.sequence < b.description.sequence; });
  for (const auto& [artifact, row] : tables_.doomed) state.doomed_artifacts.push_back(row);
  for (const auto& [name, record] : tables_.workers) state.workers.push_back(record);
  state.generation = generation_;
  return state;
}

absl::Status MemoryJobStore::BeginGeneration(std::int64_t after) {
  const std::lock_guard lock(mutex_);
  generation_ = std::max(generation_, after) + 1;
  return absl::OkStatus();
}

absl::Status MemoryJobStore::AppendAll(absl::Span<const Transition* const> transitions) {
  const std::lock_guard lock(mutex_);
  // Each alone changes nothing when it is refused.
  if (transitions.size() == 1) return AppendTo(tables_, *transitions.front());
  Tables changed = tables_;
  for (const Transition* transition : transitions) GPTVQ_RETURN_IF_ERROR(AppendTo(changed, *transition));
  tables_ = std::move(changed);
  return absl::OkStatus();
}

absl::Status MemoryJobStore::AppendTo(Tables& tables, const Transition& transition) {
  GPTVQ_RETURN_IF_ERROR(CheckDoomed(tables.doomed, transition.artifacts));
  for (const WorkerRecord& record : transition.workers) {
    const auto known = tables.workers.find(record.name);
    const std::int64_t revision = known == tables.workers.end() ? 0 : known->second.revision;
    if (record.revision != revision + 1) return absl::AbortedError(record.name + " was changed by somebody else");
  }
  if (!transition.job_id.empty()) GPTVQ_RETURN_IF_ERROR(AppendToJob(tables, transition));
  for (const DoomChange& change : transition.artifacts) ChangeDoomed(change, tables.doomed);
  for (const WorkerRecord& record : transition.workers) {
    tables.workers[record.name] = record;
    if (IsBlank(record)) tables.workers.erase(record.name);
  }
  return absl::OkStatus();
}

absl::Status MemoryJobStore::AppendToJob(Tables& tables, const Transition& transition) {
  if (transition.created) {
    const JobDescription& description = transition.created->description;
    if (tables.entries.contains(transition.job_id) || tables.requests.contains(description.request_id)) {
      return absl::AlreadyExistsError(absl::StrCat("job ", transition.job_id, " or its request id exists"));
    }
    tables.requests[description.request_id] = transition.job_id;
    tables.entries[transition.job_id] = {*transition.created, {}, transition.events};
    return absl::OkStatus();
  }
  const auto found = tables.entries.find(transition.job_id);
  if (found == tables.entries.end()) return NoJob(transition.job_id);
  if (!FitsRevisions(found->second.job, transition)) return OutdatedWriter(transition.job_id);
  Entry& entry = found->second;
  if (transition.job) entry.job.status = *transition.job;
  for (const Transition::TaskChange& change : transition.tasks) entry.job.tasks[change.index].status = change.status;
  for (int layer : transition.overturned_layers) {
    entry.job.layers[layer] = Digest();
    std::erase_if(entry.layers, [&](const PublishedLayer& one) { return one.layer == layer; });
  }
  if (transition.layer) {
    entry.job.layers[transition.layer->layer.layer] = transition.layer->layer.artifact;
    entry.layers.push_back(transition.layer->layer);
  }
  entry.events.insert(entry.events.end(), transition.events.begin(), transition.events.end());
  return absl::OkStatus();
}

absl::StatusOr<JobSnapshot> MemoryJobStore::ReadJob(std::string_view job_id) {
  const std::lock_guard lock(mutex_);
  const auto found = tables_.entries.find(job_id);
  if (found == tables_.entries.end()) return NoJob(job_id);
  return found->second.job;
}

absl::StatusOr<std::optional<std::string>> MemoryJobStore::FindRequest(std::string_view request_id) {
  const std::lock_guard lock(mutex_);
  const auto found = tables_.requests.find(request_id);
  return found == tables_.requests.end() ? std::nullopt : std::optional(found->second);
}

absl::StatusOr<std::vector<PublishedLayer>> MemoryJobStore::ReadLayers(std::string_view job_id) {
  const std::lock_guard lock(mutex_);
  const auto found = tables_.entries.find(job_id);
  if (found == tables_.entries.end()) return std::vector<PublishedLayer>();
  std::vector<PublishedLayer> layers = found->second.layers;
  std::sort(layers.begin(), layers.end(),
            [](const PublishedLayer& a, const PublishedLayer& b) { return a.layer < b.layer; });
  return layers;
}

absl::StatusOr<std::vector<JobEvent>> MemoryJobStore::ReadEvents(std::string_view job_id, std::int64_t after_seq,
                                                                 int limit) {
  const std::lock_guard lock(mutex_);
  std::vector<JobEvent> events;
  const auto found = tables_.entries.find(job_id);
  if (found == tables_.entries.end()) return events;
  for (const JobEvent& event : found->second.events) {
    if (event.seq > after_seq && static_cast<int>(events.size()) < limit) events.push_back(event);
  }
  return events;
}

absl::StatusOr<std::vector<JobSnapshot>> MemoryJobStore::ListJobs(const Query& query) {
  const std::lock_guard lock(mutex_);
  std::vector<JobSnapshot> jobs;
  for (const auto& [job_id, entry] : tables_.entries) {
    const bool in_states = query.states.empty() || std::find(query.states.begin(), query.states.end(),
                                                             entry.job.status.state) != query.states.end();
    const bool older = !query.before_sequence || entry.job.description.sequence < *query.before_sequence;
    const bool of_owner = !query.owner || entry.job.description.owner == *query.owner;
    if (in_states && older && of_owner) jobs.push_back({entry.job.description, entry.job.status, {}, {}});
  }
  std::sort(jobs.begin(), jobs.end(),
            [](const JobSnapshot& a, const JobSnapshot& b) { return a.description.sequence > b.description.sequence; });
  if (static_cast<int>(jobs.size()) > query.limit) jobs.resize(query.limit);
  return jobs;
}

}  // namespace gptvq

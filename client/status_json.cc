#include "client/status_json.h"

#include "nlohmann/json.hpp"

namespace gptvq {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

Json ToJson(const TaskView& task) {
  Json json = {{"task_id", task.task_id},
               {"kind", std::string(Name(task.kind))},
               {"state", std::string(Name(task.state))},
               {"layers", {task.layers.begin, task.layers.end}},
               {"attempt", task.attempt},
               {"worker", task.worker},
               {"fraction", DoneFraction(task)},
               {"last_failure", task.last_failure}};
  if (task.audit_outcome) json["audit_outcome"] = std::string(Name(*task.audit_outcome));
  return json;
}

Json ToJson(const JobView& job) {
  Json tasks = Json::array();
  for (const TaskView& task : job.tasks) tasks.push_back(ToJson(task));
  Json json = {{"job_id", job.job_id},
               {"state", std::string(Name(job.state))},
               {"preset", job.preset},
               {"model", job.model},
               {"output", job.output},
               {"create_unix_seconds", job.create_unix_seconds},
               {"layer_count", job.layer_count},
               {"published_layers", job.published_layers},
               {"shard_layers", job.shard_layers},
               {"task_count", job.task_count},
               {"committed_task_count", job.committed_task_count},
               {"fraction", DoneFraction(job)},
               {"numerics_class", job.numerics_class},
               {"failure", job.failure},
               {"tasks", std::move(tasks)}};
  if (job.memory) {
    json["memory"] = {{"gpu_device_bytes", job.memory->gpu_device_bytes},
                      {"gpu_host_bytes", job.memory->gpu_host_bytes},
                      {"cpu_host_bytes", job.memory->cpu_host_bytes}};
  }
  return json;
}

}  // namespace

std::string JobJson(const JobView& job) { return Dump(ToJson(job)); }

std::string JobsJson(const std::vector<JobView>& jobs) {
  Json json = Json::array();
  for (const JobView& job : jobs) json.push_back(ToJson(job));
  return Dump(json);
}

std::string WorkersJson(const std::vector<WorkerView>& workers) {
  Json json = Json::array();
  for (const WorkerView& worker : workers) {
    Json devices = Json::array();
    for (const DeviceHealth& device : worker.devices) {
      devices.push_back({{"slot", device.slot},
                         {"condition", Name(device.condition)},
                         {"uncorrected_errors", device.uncorrected_errors},
                         {"detail", device.detail}});
    }
    json.push_back({{"name", worker.name},
                    {"numerics_class", worker.numerics_class},
                    {"version", worker.version},
                    {"slots", worker.slots},
                    {"leased_task_ids", worker.leased_task_ids},
                    {"seconds_since_last_call", worker.seconds_since_last_call},
                    {"trust", Name(worker.trust)},
                    {"trust_reason", worker.trust_reason},
                    {"quarantine_end_unix_seconds", worker.quarantine_end_unix_seconds},
                    {"devices", std::move(devices)}});
  }
  return Dump(json);
}

}  // namespace gptvq

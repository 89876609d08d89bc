#include "tests/ops/metrics_page.h"

#include <map>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/check.h"
#include "platform/metrics.h"
#include "platform/tls/certificate_watch.h"
#include "server/coordinator_metrics.h"
#include "server/garbage_collector.h"
#include "worker/worker_metrics.h"

namespace gptvq {
namespace {

constexpr std::string_view kPreface = R"(# Metrics

For operators: everything that `gptvq-coordinator` and `gptvq-worker` serve under `/metrics`, in Prometheus' text format, when they
are started with `--metrics-listen HOST:PORT`. Generated from the code by `print_metrics_page`; the test `metrics_page_test`
fails when it is not fresh. Scrape configuration, recording rules and alerts are in `deploy/prometheus`, dashboards in
`deploy/grafana`; [runbook.md](runbook.md) says what to do when an alert fires.

Names are `gptvq_<binary>_<noun>_<unit>`, counters end in `_total`, units are seconds, bytes and ratios. Counters begin at zero with the
process; nothing is counted twice when a worker or the coordinator restarts. Label values come from closed sets. The one
exception are the series `gptvq_coordinator_job_*`, which name jobs: at most 16 at a time, those that have not ended first, and
a job's series go away five minutes after its end ([adr/0009](adr/0009-series-per-job.md)).

A histogram `x` has the series `x_bucket{le}`, `x_sum` and `x_count`.
)";

// What a label says, for people. A closed set is listed below its meaning.
struct LabelMeaning {
  std::string_view meaning;
  bool is_closed = true;
};

const std::map<std::string, LabelMeaning, std::less<>>& LabelMeanings() {
  static const auto& meanings = *new std::map<std::string, LabelMeaning, std::less<>>{
      {"artifact", {"what an artifact is; `unknown` are those that no job names"}},
      {"class", {"why a task failed, as docs/protocol.md says"}},
      {"code", {"status code of gRPC: `OK`, `UNAVAILABLE`, ...", false}},
      {"hessian", {"which Hessian the recipe ended up with; `diagonal_only` when none could be factored"}},
      {"job_id", {"a job; bounded as said above", false}},
      {"kind", {"kind of task"}},
      {"layer", {"number of a decoder layer, with three digits: `007`", false}},
      {"method", {"method of the services of docs/protocol.md"}},
      {"model", {"last part of the job's model URI", false}},
      {"outcome", {"what came of an audit, as docs/protocol.md says"}},
      {"phase", {"what a task is doing; packing belongs to `quantize`"}},
      {"preset", {"name of the job's preset; empty when the spec was given in full", false}},
      {"propagation", {"`sequential` or `parallel`", false}},
      {"result", {"how a lease ended, or what became of a checkpoint, as its worker saw it"}},
      {"role", {"which of a layer's linears; `other` for what is none of the seven"}},
      {"slot", {"a device of the worker: `cpu:0`, `cuda:3`", false}},
      {"stage", {"part of the recipe of a linear; `clustering` is seeding and EM"}},
      {"state", {"state of a job or task, as docs/protocol.md says"}},
      {"trigger", {"what changed a task's state"}},
      {"version", {"version of the binary", false}},
  };
  return meanings;
}

std::string LabelsCell(const MetricDescription& metric) {
  return absl::StrJoin(metric.label_values, " ",
                       [](std::string* out, const auto& entry) { absl::StrAppend(out, "`", entry.first, "`"); });
}

void AppendMetrics(std::string_view binary, const MetricsRegistry& registry, std::string* page) {
  absl::StrAppend(page, "\n## ", std::string(binary), "\n\n| metric | type | labels | says |\n|---|---|---|---|\n");
  for (const auto& [name, metric] : registry.Describe()) {
    absl::StrAppend(page, "| `", name, "` | ", std::string(Name(metric.type)), " | ", LabelsCell(metric), " | ",
                    metric.help, " |\n");
  }
}

// The values that a label takes, over all metrics of all binaries.
void AppendLabels(const std::map<std::string, std::set<std::string>>& values_of, std::string* page) {
  absl::StrAppend(page, "\n## Labels\n\n| label | says | values |\n|---|---|---|\n");
  for (const auto& [label, values] : values_of) {
    const auto entry = LabelMeanings().find(label);
    GPTVQ_CHECK(entry != LabelMeanings().end());
    const std::string listed = entry->second.is_closed ? absl::StrJoin(values, ", ") : "";
    absl::StrAppend(page, "| `", label, "` | ", std::string(entry->second.meaning), " | ", listed, " |\n");
  }
}

}  // namespace

std::string MetricsPage() {
  MetricsRegistry coordinator("coordinator");
  coordinator.AddProcessMetrics();
  AddDiskMetrics(coordinator, "/");
  AddCertificateExpiry(coordinator);
  const CoordinatorMetrics coordinator_metrics(coordinator);
  const GarbageMetrics garbage_metrics(coordinator);
  MetricsRegistry worker("worker");
  worker.AddProcessMetrics();
  AddCertificateExpiry(worker);
  WorkerMetrics worker_metrics(worker);
  worker_metrics.ShowSlot({.name = "cuda:0", .description = "", .memory_bytes = 0}, [] { return 0.0; });
  worker_metrics.ShowHealth({"cuda:0", DeviceCondition::kUnknown, 0, ""}, 0);

  std::map<std::string, std::set<std::string>> values_of;
  for (const MetricsRegistry* registry : {&coordinator, &worker}) {
    for (const auto& [name, metric] : registry->Describe()) {
      for (const auto& [label, values] : metric.label_values) values_of[label].insert(values.begin(), values.end());
    }
  }
  std::string page(kPreface);
  AppendLabels(values_of, &page);
  AppendMetrics("gptvq-coordinator", coordinator, &page);
  AppendMetrics("gptvq-worker", worker, &page);
  return page;
}

}  // namespace gptvq

#ifndef GPTVQ_PLATFORM_METRICS_H_
#define GPTVQ_PLATFORM_METRICS_H_

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace gptvq {

// Thread-safe, owned by the registry they come from, and valid as long as it lives.
using Counter = prometheus::Counter;
using Gauge = prometheus::Gauge;
using Histogram = prometheus::Histogram;

// Label values come from closed sets known when the program is written: a task kind, a result; never an id or a name.
// What must name the things it tells of is a GaugeTable.
using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// Bucket boundaries that suit what this project measures.
namespace buckets {
std::vector<double> RpcSeconds();      // 1 ms to 30 s
std::vector<double> TaskSeconds();     // 0.1 s to 6 h
std::vector<double> RelativeErrors();  // 1e-5 to 1: tr(dH dT) / tr(WHWT) of a linear
}  // namespace buckets

// Gauges of one name whose label values come and go while the program runs: a table that is replaced as a whole, so that
// a scrape never sees half of it. Its owner bounds the number of rows. Thread-safe.
class GaugeTable {
 public:
  struct Row {
    std::vector<std::string> label_values;  // in the order of the label names
    double value = 0;
  };

  // Precondition: every row has a value for every label, and no two rows have the same ones.
  virtual void Replace(std::vector<Row> rows) = 0;

 protected:
  ~GaugeTable() = default;
};

enum class MetricType { kCounter, kGauge, kHistogram };

std::string_view Name(MetricType type);  // counter, gauge, histogram

// One metric as the reference page lists it (docs/metrics.md).
struct MetricDescription {
  MetricType type = MetricType::kGauge;
  std::string help;
  std::map<std::string, std::set<std::string>> label_values;  // by label; empty for the labels of a GaugeTable
};

// The metrics of one component; a component builds a struct of references from it in its constructor:
//
//   struct LeaseMetrics {
//     explicit LeaseMetrics(MetricsRegistry& registry)
//         : lost(registry.AddCounter("lease_losses_total", "Leases that ended before their task did.")) {}
//     Counter& lost;
//   };
//
// Names are given without their prefix and become gptvq_<binary>_<noun>_<unit>[_total]. A name that breaks the rules
// (Counter not ending in _total, anything else ending in it, letters outside [a-z0-9_], empty help) is a bug and ends
// the process. Asking again for the same name and labels gives the same metric: two workers may share a registry.
// Thread-safe.
class MetricsRegistry {
 public:
  // `binary` is "worker" for gptvq_worker_*.
  explicit MetricsRegistry(std::string_view binary);
  ~MetricsRegistry();
  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;

  Counter& AddCounter(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Gauge& AddGauge(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Histogram& AddHistogram(std::string_view name, std::string_view help, const std::vector<double>& boundaries,
                          const MetricLabels& labels = {});

  // A table without rows. To be asked for once: its one owner replaces it.
  GaugeTable& AddGaugeTable(std::string_view name, std::string_view help, const std::vector<std::string>& label_names);

  // A metric whose value is asked for at every scrape. `read` must be thread-safe and outlive the registry's last
  // scrape; that of a counter must never fall.
  void AddGaugeReader(std::string_view name, std::string_view help, std::function<double()> read,
                      const MetricLabels& labels = {});
  void AddCounterReader(std::string_view name, std::string_view help, std::function<double()> read);

  // gptvq_<binary>_ build_info{version} = 1, start_time_seconds, resident_memory_bytes and cpu_seconds_total.
  void AddProcessMetrics();

  // All metrics in Prometheus' text format.
  std::string RenderText() const;

  // Everything that was added, by full name.
  std::map<std::string, MetricDescription> Describe() const;

 private:
  class Collector;

  // Checks the name, notes it for Describe() and returns it in full.
  std::string Declare(MetricType type, std::string_view name, std::string_view help, const MetricLabels& labels);

  const std::string prefix_;
  const std::unique_ptr<Collector> collector_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_METRICS_H_

#include "platform/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <fstream>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "platform/clock.h"
#include "platform/version.h"

namespace gptvq {
namespace {

prometheus::Labels ToPrometheus(const MetricLabels& labels) { return {labels.begin(), labels.end()}; }

bool EndsInTotal(std::string_view name) { return name.ends_with("_total"); }

double ResidentMemoryBytes() {
  std::ifstream statm("/proc/self/statm");
  double total_pages = 0;
  double resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

double CpuSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
}

double UnixSecondsNow() { return std::chrono::duration<double>(SystemClock().WallNow().time_since_epoch()).count(); }

// A family that is filled at every scrape.
prometheus::MetricFamily EmptyFamily(prometheus::MetricType type, std::string name, std::string_view help) {
  prometheus::MetricFamily family;
  family.name = std::move(name);
  family.help = std::string(help);
  family.type = type;
  return family;
}

class MutexGaugeTable final : public GaugeTable {
 public:
  MutexGaugeTable(std::string name, std::string_view help, std::vector<std::string> label_names)
      : empty_(EmptyFamily(prometheus::MetricType::Gauge, std::move(name), help)),
        label_names_(std::move(label_names)) {}

  void Replace(std::vector<Row> rows) override {
    for (const Row& row : rows) GPTVQ_CHECK(row.label_values.size() == label_names_.size());
    std::lock_guard lock(mutex_);
    rows_ = std::move(rows);
  }

  prometheus::MetricFamily Collect() const {
    prometheus::MetricFamily family = empty_;
    std::lock_guard lock(mutex_);
    for (const Row& row : rows_) {
      prometheus::ClientMetric& metric = family.metric.emplace_back();
      for (std::size_t i = 0; i < label_names_.size(); ++i) {
        metric.label.push_back({label_names_[i], row.label_values[i]});
      }
      metric.gauge.value = row.value;
    }
    return family;
  }

 private:
  const prometheus::MetricFamily empty_;
  const std::vector<std::string> label_names_;
  mutable std::mutex mutex_;
  std::vector<Row> rows_;  // guarded by mutex_
};

}  // namespace

std::string_view Name(MetricType type) {
  switch (type) {
    case MetricType::kCounter: return "counter";
    case MetricType::kGauge: return "gauge";
    case MetricType::kHistogram: return "histogram";
  }
  return "";
}

namespace buckets {

std::vector<double> RpcSeconds() { return {0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30}; }

std::vector<double> TaskSeconds() { return {0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600}; }

std::vector<double> RelativeErrors() {
  return {1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1};
}

}  // namespace buckets

// Prometheus' registry, plus what is read or put together at scrape time.
class MetricsRegistry::Collector final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    std::lock_guard lock(mutex_);
    for (const auto& [gauge, read] : gauge_readers_) gauge->Set(read());
    std::vector<prometheus::MetricFamily> families = registry_.Collect();
    for (const auto& [empty, read] : counter_readers_) {
      families.push_back(empty);
      families.back().metric.emplace_back().counter.value = read();
    }
    for (const MutexGaugeTable& table : tables_) {
      prometheus::MetricFamily family = table.Collect();
      if (!family.metric.empty()) families.push_back(std::move(family));
    }
    std::sort(families.begin(), families.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return families;
  }

  void AddReader(Gauge& gauge, std::function<double()> read) {
    std::lock_guard lock(mutex_);
    gauge_readers_.emplace_back(&gauge, std::move(read));
  }

  void AddReader(prometheus::MetricFamily empty_counter, std::function<double()> read) {
    std::lock_guard lock(mutex_);
    counter_readers_.emplace_back(std::move(empty_counter), std::move(read));
  }

  GaugeTable& AddTable(std::string name, std::string_view help, const std::vector<std::string>& label_names) {
    std::lock_guard lock(mutex_);
    return tables_.emplace_back(std::move(name), help, label_names);
  }

  void Note(const std::string& name, MetricType type, std::string_view help, const MetricLabels& labels) {
    std::lock_guard lock(mutex_);
    MetricDescription& description = descriptions_[name];
    description.type = type;
    description.help = std::string(help);
    for (const auto& [label, value] : labels) description.label_values[label].insert(value);
  }

  void NoteLabel(const std::string& name, const std::string& label) {
    std::lock_guard lock(mutex_);
    descriptions_[name].label_values[label];
  }

  std::map<std::string, MetricDescription> descriptions() const {
    std::lock_guard lock(mutex_);
    return descriptions_;
  }

  prometheus::Registry& registry() { return registry_; }

 private:
  prometheus::Registry registry_;
  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::vector<std::pair<Gauge*, std::function<double()>>> gauge_readers_;
  std::vector<std::pair<prometheus::MetricFamily, std::function<double()>>> counter_readers_;
  std::deque<MutexGaugeTable> tables_;  // never moved: their owners hold references
  std::map<std::string, MetricDescription> descriptions_;
};

MetricsRegistry::MetricsRegistry(std::string_view binary)
    : prefix_(absl::StrCat("gptvq_", std::string(binary), "_")), collector_(std::make_unique<Collector>()) {}

MetricsRegistry::~MetricsRegistry() = default;

Counter& MetricsRegistry::AddCounter(std::string_view name, std::string_view help, const MetricLabels& labels) {
  return prometheus::BuildCounter()
      .Name(Declare(MetricType::kCounter, name, help, labels))
      .Help(std::string(help))
      .Register(collector_->registry())
      .Add(ToPrometheus(labels));
}

Gauge& MetricsRegistry::AddGauge(std::string_view name, std::string_view help, const MetricLabels& labels) {
  return prometheus::BuildGauge()
      .Name(Declare(MetricType::kGauge, name, help, labels))
      .Help(std::string(help))
      .Register(collector_->registry())
      .Add(ToPrometheus(labels));
}

Histogram& MetricsRegistry::AddHistogram(std::string_view name, std::string_view help,
                                         const std::vector<double>& boundaries, const MetricLabels& labels) {
  return prometheus::BuildHistogram()
      .Name(Declare(MetricType::kHistogram, name, help, labels))
      .Help(std::string(help))
      .Register(collector_->registry())
      .Add(ToPrometheus(labels), boundaries);
}

GaugeTable& MetricsRegistry::AddGaugeTable(std::string_view name, std::string_view help,
                                           const std::vector<std::string>& label_names) {
  const std::string full_name = Declare(MetricType::kGauge, name, help, {});
  for (const std::string& label : label_names) collector_->NoteLabel(full_name, label);
  return collector_->AddTable(full_name, help, label_names);
}

void MetricsRegistry::AddGaugeReader(std::string_view name, std::string_view help, std::function<double()> read,
                                     const MetricLabels& labels) {
  collector_->AddReader(AddGauge(name, help, labels), std::move(read));
}

void MetricsRegistry::AddCounterReader(std::string_view name, std::string_view help, std::function<double()> read) {
  collector_->AddReader(
      EmptyFamily(prometheus::MetricType::Counter, Declare(MetricType::kCounter, name, help, {}), help),
      std::move(read));
}

void MetricsRegistry::AddProcessMetrics() {
  AddGauge("build_info", "Always 1; the labels say what runs.", {{"version", std::string(Version())}}).Set(1);
  AddGauge("start_time_seconds", "When this process started, in Unix time.").Set(UnixSecondsNow());
  AddGaugeReader("resident_memory_bytes", "Memory of this process that is in RAM.", ResidentMemoryBytes);
  AddCounterReader("cpu_seconds_total", "Time that the threads of this process computed, all together.", CpuSeconds);
}

std::string MetricsRegistry::RenderText() const {
  return prometheus::TextSerializer().Serialize(collector_->Collect());
}

std::map<std::string, MetricDescription> MetricsRegistry::Describe() const { return collector_->descriptions(); }

std::string MetricsRegistry::Declare(MetricType type, std::string_view name, std::string_view help,
                                     const MetricLabels& labels) {
  GPTVQ_CHECK(EndsInTotal(name) == (type == MetricType::kCounter) && !help.empty());
  GPTVQ_CHECK(std::all_of(name.begin(), name.end(),
                          [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }));
  std::string full_name = absl::StrCat(prefix_, std::string(name));
  collector_->Note(full_name, type, help, labels);
  return full_name;
}

}  // namespace gptvq

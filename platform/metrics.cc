#include "platform/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
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

}  // namespace

namespace buckets {

std::vector<double> RpcSeconds() { return {0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30}; }

std::vector<double> TaskSeconds() { return {0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600}; }

std::vector<double> RelativeErrors() {
  return {1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1};
}

}  // namespace buckets

// Prometheus' registry, plus the gauges that are read at scrape time.
class MetricsRegistry::Collector final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    {
      std::lock_guard lock(mutex_);
      for (const auto& [gauge, read] : readers_) gauge->Set(read());
    }
    std::vector<prometheus::MetricFamily> families = registry_.Collect();
    std::sort(families.begin(), families.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return families;
  }

  void AddReader(Gauge& gauge, std::function<double()> read) {
    std::lock_guard lock(mutex_);
    readers_.emplace_back(&gauge, std::move(read));
  }

  prometheus::Registry& registry() { return registry_; }

 private:
  prometheus::Registry registry_;
  mutable std::mutex mutex_;
  std::vector<std::pair<Gauge*, std::function<double()>>> readers_;
};

MetricsRegistry::MetricsRegistry(std::string_view binary)
    : prefix_(absl::StrCat("gptvq_", std::string(binary), "_")), collector_(std::make_shared<Collector>()) {}

MetricsRegistry::~MetricsRegistry() = default;

Counter& MetricsRegistry::AddCounter(std::string_view name, std::string_view help, const MetricLabels& labels) {
  GPTVQ_CHECK(EndsInTotal(name) && !help.empty());
  return prometheus::BuildCounter()
      .Name(FullName(name))
      .Help(std::string(help))
      .Register(collector_->registry())
      .Add(ToPrometheus(labels));
}

Gauge& MetricsRegistry::AddGauge(std::string_view name, std::string_view help, const MetricLabels& labels) {
  GPTVQ_CHECK(!EndsInTotal(name) && !help.empty());
  return prometheus::BuildGauge()
      .Name(FullName(name))
      .Help(std::string(help))
      .Register(collector_->registry())
      .Add(ToPrometheus(labels));
}

Histogram& MetricsRegistry::AddHistogram(std::string_view name, std::string_view help,
                                         const std::vector<double>& boundaries, const MetricLabels& labels) {
  GPTVQ_CHECK(!EndsInTotal(name) && !help.empty());
  return prometheus::BuildHistogram()
      .Name(FullName(name))
      .Help(std::string(help))
      .Register(collector_->registry())
      .Add(ToPrometheus(labels), boundaries);
}

void MetricsRegistry::AddGaugeReader(std::string_view name, std::string_view help, std::function<double()> read) {
  collector_->AddReader(AddGauge(name, help), std::move(read));
}

void MetricsRegistry::AddProcessMetrics() {
  AddGauge("build_info", "Always 1; the labels say what runs.", {{"version", std::string(Version())}}).Set(1);
  AddGaugeReader("resident_memory_bytes", "Memory of this process that is in RAM.", ResidentMemoryBytes);
}

std::string MetricsRegistry::RenderText() const {
  return prometheus::TextSerializer().Serialize(collector_->Collect());
}

std::string MetricsRegistry::FullName(std::string_view name) const {
  GPTVQ_CHECK(std::all_of(name.begin(), name.end(),
                          [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }));
  return absl::StrCat(prefix_, std::string(name));
}

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(std::string_view host, std::uint16_t port,
                                                                    const std::vector<MetricsRegistry*>& registries) {
  const std::string address =
      absl::StrCat(host == "localhost" ? std::string("127.0.0.1") : std::string(host), ":", port);
  std::unique_ptr<prometheus::Exposer> exposer;
  try {
    exposer = std::make_unique<prometheus::Exposer>(address);
  } catch (const std::exception&) {  // its message says no more than that the server did not start
    return absl::UnavailableError(
        absl::StrCat("cannot serve metrics on ", address, ": the address is in use or not of this machine"));
  }
  for (MetricsRegistry* registry : registries) exposer->RegisterCollectable(registry->collector_);
  const int bound_port = exposer->GetListeningPorts().at(0);
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(exposer), static_cast<std::uint16_t>(bound_port)));
}

MetricsServer::MetricsServer(std::unique_ptr<prometheus::Exposer> exposer, std::uint16_t port)
    : exposer_(std::move(exposer)), port_(port) {}

MetricsServer::~MetricsServer() = default;

}  // namespace gptvq

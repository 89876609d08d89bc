#include "core/pipeline/layer_publisher.h"

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/base/memory_file.h"
#include "core/base/status_macros.h"
#include "core/format/layer_artifact.h"

namespace gptvq {
namespace {

// Takes the linears, not the reports.
absl::StatusOr<std::string> PackLayer(int layer, const QuantSpec& spec, QuantizedLayer& quantized) {
  std::vector<NamedLinear> named;
  named.reserve(quantized.linears.size());
  for (std::size_t i = 0; i < quantized.linears.size(); ++i) {
    named.push_back({quantized.reports[i].name, std::move(quantized.linears[i])});
  }
  MemoryDirectory memory;
  constexpr std::string_view kName = "layer.safetensors";
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, memory.Create(kName));
  GPTVQ_RETURN_IF_ERROR(WriteLayerArtifact(layer, spec, named, *file));
  GPTVQ_RETURN_IF_ERROR(file->Close());
  return memory.Take(kName);
}

absl::Status PackAndHandOver(int layer, const QuantSpec& spec, QuantizedLayer& quantized, StageObserver& observer) {
  GPTVQ_ASSIGN_OR_RETURN(std::string packed, PackLayer(layer, spec, quantized));
  return observer.OnLayerQuantized(layer, std::move(packed), quantized.reports);
}

}  // namespace

absl::Status LayerPublisher::Publish(int layer, QuantizedLayer quantized) {
  GPTVQ_RETURN_IF_ERROR(Finish());
  publishing_ = BackgroundCall<absl::Status>([this, layer, quantized = std::move(quantized)](std::stop_token) mutable {
    return WithContext(PackAndHandOver(layer, spec_, quantized, observer_), absl::StrCat("layer ", layer));
  });
  return absl::OkStatus();
}

absl::Status LayerPublisher::Poll() { return publishing_.is_done() ? Finish() : status_; }

absl::Status LayerPublisher::Finish() {
  if (publishing_.is_begun()) status_.Update(publishing_.Take());
  return status_;
}

}  // namespace gptvq

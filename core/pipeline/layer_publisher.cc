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
#include "core/model/linear_role.h"

namespace gptvq {
namespace {

absl::StatusOr<std::string> PackLayer(int layer, const QuantSpec& spec, const QuantizedLayer& quantized) {
  std::vector<NamedLinearView> named;
  named.reserve(quantized.linears.size());
  for (std::size_t i = 0; i < quantized.linears.size(); ++i) {
    named.push_back({quantized.reports[i].name, *quantized.linears[i]});
  }
  MemoryDirectory memory;
  constexpr std::string_view kName = "layer.safetensors";
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, memory.Create(kName));
  GPTVQ_RETURN_IF_ERROR(WriteLayerArtifact(layer, spec, named, *file));
  GPTVQ_RETURN_IF_ERROR(file->Close());
  return memory.Take(kName);
}

absl::Status PackAndHandOver(int layer, const QuantSpec& spec, const QuantizedLayer& quantized,
                             StageObserver& observer) {
  GPTVQ_ASSIGN_OR_RETURN(std::string packed, PackLayer(layer, spec, quantized));
  return observer.OnLayerQuantized(layer, std::move(packed), quantized.reports);
}

}  // namespace

void LayerPublisher::Checkpoint(int layer, const QuantizedLayer& done) {
  if (keeper_ == nullptr || done.linears.size() == kLinearRoles.size())
    return;  // the layer itself is published at once
  if (publishing_.is_begun() && !publishing_.is_done()) return;
  if (checkpointing_.is_begun() && !checkpointing_.is_done()) return;
  if (!keeper_->WantsCheckpoint()) return;
  checkpointing_ = BackgroundCall<absl::Status>([this, layer, done](std::stop_token abandoned) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(std::string packed, PackLayer(layer, spec_, done));
    keeper_->KeepCheckpoint(layer, std::move(packed), done.reports, std::move(abandoned));
    return absl::OkStatus();
  });
}

absl::Status LayerPublisher::Publish(int layer, QuantizedLayer quantized) {
  GPTVQ_RETURN_IF_ERROR(FinishLayer());
  publishing_ = BackgroundCall<absl::Status>([this, layer, quantized = std::move(quantized)](std::stop_token) {
    checkpointing_ = {};  // here, so that nobody who computes waits for it
    return WithContext(PackAndHandOver(layer, spec_, quantized, observer_), absl::StrCat("layer ", layer));
  });
  return absl::OkStatus();
}

absl::Status LayerPublisher::Poll() { return publishing_.is_done() ? FinishLayer() : status_; }

absl::Status LayerPublisher::Finish() {
  GPTVQ_RETURN_IF_ERROR(FinishLayer());
  // What can not be packed now can not be packed when the layer is published either, and is told then.
  if (checkpointing_.is_begun()) checkpointing_.Take().IgnoreError();
  return absl::OkStatus();
}

absl::Status LayerPublisher::FinishLayer() {
  if (publishing_.is_begun()) status_.Update(publishing_.Take());
  return status_;
}

}  // namespace gptvq

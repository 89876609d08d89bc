#include "core/pipeline/evaluate_directory.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/format/packed_checkpoint.h"
#include "core/model/linear_source.h"
#include "core/model/model_config.h"
#include "core/model/model_tensors.h"
#include "core/pipeline/source_model.h"

namespace gptvq {
namespace {

// The dequantized linears of a result; those that were left as they are come from its tensors.
class PackedLinears final : public LinearSource {
 public:
  explicit PackedLinears(const PackedCheckpoint& checkpoint) : checkpoint_(checkpoint) {}

  absl::Status ReadWeight(int layer, LinearRole role, MatrixView<float> weight_out) const override {
    const std::string path = LinearPath(layer, role);
    if (checkpoint_.Find(path) == nullptr) {
      return CheckpointLinears(checkpoint_.tensors()).ReadWeight(layer, role, weight_out);
    }
    GPTVQ_ASSIGN_OR_RETURN(const QuantizedLinear linear, checkpoint_.ReadLinear(path));
    if (RowCount(linear) != weight_out.rows || ColumnCount(linear) != weight_out.cols) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": packed as ", RowCount(linear), " x ", ColumnCount(linear),
                                                     ", the config says ", weight_out.rows, " x ", weight_out.cols));
    }
    Dequantize(linear, weight_out);
    return absl::OkStatus();
  }

 private:
  const PackedCheckpoint& checkpoint_;
};

}  // namespace

absl::StatusOr<Perplexity> EvaluateDirectory(Backend& backend, const ReadableDirectory& directory,
                                             MatrixView<const std::int32_t> windows, EvaluationObserver observe) {
  GPTVQ_ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(directory));
  if (config.quant_method.empty()) {
    GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<SourceModel> model, SourceModel::Open(directory));
    const CheckpointLinears linears(model->checkpoint());
    return EvaluatePerplexity(backend, {model->config(), model->checkpoint(), linears}, windows, {}, observe);
  }
  GPTVQ_ASSIGN_OR_RETURN(const PackedCheckpoint packed, PackedCheckpoint::Open(directory));
  GPTVQ_RETURN_IF_ERROR(CheckTensors(config, packed.tensors(), TensorScope::kAllButLinearWeights));
  const PackedLinears linears(packed);
  return EvaluatePerplexity(backend, {config, packed.tensors(), linears}, windows, {}, observe);
}

}  // namespace gptvq

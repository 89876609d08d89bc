#include "core/pipeline/source_model.h"

#include <utility>

#include "core/base/status_macros.h"
#include "core/model/model_tensors.h"

namespace gptvq {

absl::StatusOr<std::unique_ptr<SourceModel>> SourceModel::Open(const ReadableDirectory& directory) {
  GPTVQ_ASSIGN_OR_RETURN(ModelConfig config, ReadModelConfig(directory));
  GPTVQ_ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(directory));
  GPTVQ_RETURN_IF_ERROR(CheckTensors(config, checkpoint, TensorScope::kAll));
  return std::unique_ptr<SourceModel>(new SourceModel(directory, std::move(config), std::move(checkpoint)));
}

}  // namespace gptvq

#include "core/model/output_head.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/backend/device_matrix.h"
#include "core/base/status_macros.h"
#include "core/model/embedding.h"
#include "core/model/model_tensors.h"

namespace gptvq {

absl::Status ApplyFinalNorm(Backend& backend, const ModelConfig& config, const Checkpoint& checkpoint, Activations& x) {
  std::vector<float> values(static_cast<std::size_t>(config.hidden_size));
  GPTVQ_RETURN_IF_ERROR(ReadTensor(checkpoint, {std::string(kFinalNormTensor), {config.hidden_size}},
                                   MatrixView<float>(values.data(), 1, config.hidden_size)));
  GPTVQ_ASSIGN_OR_RETURN(const auto weight,
                         DeviceMatrix<float>::FromHost(backend, values.data(), 1, config.hidden_size));
  return backend.forward().RmsNorm(x.view(), weight.view(), config.rms_norm_epsilon, x.view());
}

std::int64_t HeadTileCount(const ModelConfig& config) {
  const std::int64_t tile_rows = TableTileRows(config);
  return (config.vocab_size + tile_rows - 1) / tile_rows;
}

absl::Status ForEachHeadTile(Backend& backend, const ModelConfig& config, const Checkpoint& checkpoint,
                             absl::FunctionRef<absl::Status(std::int64_t, ConstTensorView)> body) {
  const std::int64_t tile_rows = TableTileRows(config);
  std::vector<float> values(static_cast<std::size_t>(tile_rows * config.hidden_size));
  GPTVQ_ASSIGN_OR_RETURN(DeviceTensor tile, DeviceTensor::Allocate(backend, tile_rows, config.hidden_size));
  for (std::int64_t first = 0; first < config.vocab_size; first += tile_rows) {
    const std::int64_t count = std::min(tile_rows, config.vocab_size - first);
    const MatrixView<float> rows(values.data(), count, config.hidden_size);
    GPTVQ_RETURN_IF_ERROR(checkpoint.ReadRows(OutputHeadTensor(config), first, rows));
    GPTVQ_RETURN_IF_ERROR(backend.CopyFromHost(rows, tile.view().Rows(0, count)));
    GPTVQ_RETURN_IF_ERROR(body(first, tile.view().Rows(0, count)));
  }
  return absl::OkStatus();
}

}  // namespace gptvq

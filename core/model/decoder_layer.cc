#include "core/model/decoder_layer.h"

#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

absl::StatusOr<DeviceMatrix<float>> LoadVector(Backend& backend, const Checkpoint& checkpoint, std::string name,
                                               std::int64_t length) {
  std::vector<float> values(static_cast<std::size_t>(length));
  GPTVQ_RETURN_IF_ERROR(
      ReadTensor(checkpoint, {std::move(name), {length}}, MatrixView<float>(values.data(), 1, length)));
  return DeviceMatrix<float>::FromHost(backend, values.data(), 1, length);
}

absl::StatusOr<DeviceTensor> LoadLinear(Backend& backend, const LinearSource& linears, int layer, LinearRole role,
                                        LinearShape shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.rows * shape.cols));
  const MatrixView<float> weight(values.data(), shape.rows, shape.cols);
  GPTVQ_RETURN_IF_ERROR(linears.ReadWeight(layer, role, weight));
  return DeviceTensor::FromHost(backend, weight);
}

}  // namespace

absl::StatusOr<DecoderLayer> DecoderLayer::Load(Backend& backend, const ModelConfig& config,
                                                const Checkpoint& checkpoint, const LinearSource& linears, int index) {
  GPTVQ_CHECK(index >= 0 && index < config.layer_count);
  DecoderLayer layer(backend, index);
  for (LinearRole role : kLinearRoles) {
    const int i = static_cast<int>(role);
    const LinearShape shape = ShapeOf(config, role);
    GPTVQ_ASSIGN_OR_RETURN(layer.weights_[i], LoadLinear(backend, linears, index, role, shape));
    if (!HasBias(config, role)) continue;
    GPTVQ_ASSIGN_OR_RETURN(layer.biases_[i], LoadVector(backend, checkpoint, BiasTensor(index, role), shape.rows));
  }
  const auto load_norm = [&](LayerNorm norm, std::int64_t width) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(layer.norms_[static_cast<int>(norm)],
                           LoadVector(backend, checkpoint, NormTensor(index, norm), width));
    return absl::OkStatus();
  };
  GPTVQ_RETURN_IF_ERROR(load_norm(LayerNorm::kAttention, config.hidden_size));
  GPTVQ_RETURN_IF_ERROR(load_norm(LayerNorm::kMlp, config.hidden_size));
  if (config.has_head_norms) {
    GPTVQ_RETURN_IF_ERROR(load_norm(LayerNorm::kQuery, config.head_dim));
    GPTVQ_RETURN_IF_ERROR(load_norm(LayerNorm::kKey, config.head_dim));
  }
  return layer;
}

absl::Status DecoderLayer::SetWeight(LinearRole role, MatrixView<const float> weight) {
  DeviceTensor& tensor = weights_[static_cast<int>(role)];
  GPTVQ_CHECK(weight.rows == tensor.rows() && weight.cols == tensor.cols());
  return backend_->CopyFromHost(weight, tensor.view());
}

}  // namespace gptvq

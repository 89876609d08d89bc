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
    const auto i = static_cast<std::size_t>(role);
    GPTVQ_ASSIGN_OR_RETURN(layer.weights_[i], LoadLinear(backend, linears, index, role, ShapeOf(config, role)));
    layer.weight_is_source_[i] = backend.activation_dtype() == DType::kF32;  // what linears are read in
  }
  GPTVQ_RETURN_IF_ERROR(layer.LoadVectors(config, checkpoint));
  return layer;
}

absl::StatusOr<DecoderLayer> DecoderLayer::Load(Backend& backend, const ModelConfig& config,
                                                const Checkpoint& checkpoint, StoredLinears linears, int index) {
  GPTVQ_CHECK(index >= 0 && index < config.layer_count);
  DecoderLayer layer(backend, index);
  for (LinearRole role : kLinearRoles) {
    const auto i = static_cast<std::size_t>(role);
    const LinearShape shape = ShapeOf(config, role);
    GPTVQ_CHECK(linears[i].rows() == shape.rows && linears[i].cols() == shape.cols);
    layer.weight_is_source_[i] = linears[i].view().dtype == backend.activation_dtype();
    if (layer.weight_is_source_[i]) {
      layer.weights_[i] = std::move(linears[i]);
      continue;
    }
    GPTVQ_ASSIGN_OR_RETURN(layer.weights_[i], DeviceTensor::Allocate(backend, shape.rows, shape.cols));
    GPTVQ_RETURN_IF_ERROR(backend.forward().Convert(linears[i].view(), layer.weights_[i].view()));
    layer.stored_[i] = std::move(linears[i]);
  }
  GPTVQ_RETURN_IF_ERROR(layer.LoadVectors(config, checkpoint));
  return layer;
}

absl::Status DecoderLayer::LoadVectors(const ModelConfig& config, const Checkpoint& checkpoint) {
  for (LinearRole role : kLinearRoles) {
    if (!HasBias(config, role)) continue;
    GPTVQ_ASSIGN_OR_RETURN(biases_[static_cast<std::size_t>(role)],
                           LoadVector(*backend_, checkpoint, BiasTensor(index_, role), ShapeOf(config, role).rows));
  }
  const auto load_norm = [&](LayerNorm norm, std::int64_t width) -> absl::Status {
    GPTVQ_ASSIGN_OR_RETURN(norms_[static_cast<int>(norm)],
                           LoadVector(*backend_, checkpoint, NormTensor(index_, norm), width));
    return absl::OkStatus();
  };
  GPTVQ_RETURN_IF_ERROR(load_norm(LayerNorm::kAttention, config.hidden_size));
  GPTVQ_RETURN_IF_ERROR(load_norm(LayerNorm::kMlp, config.hidden_size));
  if (!config.has_head_norms) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(load_norm(LayerNorm::kQuery, config.head_dim));
  return load_norm(LayerNorm::kKey, config.head_dim);
}

ConstTensorView DecoderLayer::source(LinearRole role) const {
  const auto i = static_cast<std::size_t>(role);
  return weight_is_source_[i] ? weights_[i].view() : stored_[i].view();
}

TensorView DecoderLayer::Replace(LinearRole role) {
  const auto i = static_cast<std::size_t>(role);
  weight_is_source_[i] = false;
  stored_[i] = {};
  return weights_[i].view();
}

}  // namespace gptvq

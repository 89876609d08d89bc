#ifndef GPTVQ_CORE_MODEL_DECODER_LAYER_H_
#define GPTVQ_CORE_MODEL_DECODER_LAYER_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"
#include "core/format/checkpoint.h"
#include "core/model/linear_role.h"
#include "core/model/linear_source.h"
#include "core/model/model_config.h"
#include "core/model/model_tensors.h"

namespace gptvq {

// The weights of a layer's linears in backend memory as a checkpoint stores them, by LinearRole: f32, f16 or bf16, finite.
using StoredLinears = std::array<DeviceTensor, kLinearRoles.size()>;

// The weights of one decoder layer in backend memory: seven linears and biases, two norms (four with head norms). How
// they act on activations is LayerForward's. Owns the memory; borrows the backend. Move-only. Thread-compatible.
class DecoderLayer {
 public:
  // Norms and biases come from `checkpoint`, the weights of linears from `linears`. Host memory while loading: one
  // linear in f32. Errors: those of reading, naming the tensor; InvalidArgument, naming tensor and both shapes, when
  // the config asks for another shape, or for values that are not finite; ResourceExhausted.
  static absl::StatusOr<DecoderLayer> Load(Backend& backend, const ModelConfig& config, const Checkpoint& checkpoint,
                                           const LinearSource& linears, int index);

  // The same with weights that are in backend memory. One of the activation dtype is taken, another one converted, and kept
  // beside that until it is replaced. Precondition: the shapes of the config.
  static absl::StatusOr<DecoderLayer> Load(Backend& backend, const ModelConfig& config, const Checkpoint& checkpoint,
                                           StoredLinears linears, int index);

  int index() const { return index_; }

  // A linear's weight without any rounding, as it was loaded: f32, f16 or bf16; data is null where it was rounded on its
  // way, and once it was replaced.
  ConstTensorView source(LinearRole role) const;

  // A linear's weight, for the caller to write anew; what it was loaded from is forgotten.
  TensorView Replace(LinearRole role);

  ConstTensorView weight(LinearRole role) const { return weights_[static_cast<int>(role)].view(); }
  // [1, rows]; data is null where the model has no such bias.
  MatrixView<const float> bias(LinearRole role) const { return biases_[static_cast<int>(role)].view(); }
  // [1, width]; data is null for head norms where the model has none.
  MatrixView<const float> norm(LayerNorm norm) const { return norms_[static_cast<int>(norm)].view(); }

 private:
  DecoderLayer(Backend& backend, int index) : backend_(&backend), index_(index) {}

  // Norms and biases.
  absl::Status LoadVectors(const ModelConfig& config, const Checkpoint& checkpoint);

  Backend* backend_;
  int index_;
  std::array<DeviceTensor, kLinearRoles.size()> weights_;
  std::array<bool, kLinearRoles.size()> weight_is_source_ = {};
  StoredLinears stored_;  // those of another dtype
  std::array<DeviceMatrix<float>, kLinearRoles.size()> biases_;
  std::array<DeviceMatrix<float>, 4> norms_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_MODEL_DECODER_LAYER_H_

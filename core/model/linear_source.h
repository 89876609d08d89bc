#ifndef GPTVQ_CORE_MODEL_LINEAR_SOURCE_H_
#define GPTVQ_CORE_MODEL_LINEAR_SOURCE_H_

#include "absl/status/status.h"
#include "core/base/matrix_view.h"
#include "core/format/checkpoint.h"
#include "core/model/linear_role.h"

namespace gptvq {

// Where the weights of linears come from: the source checkpoint as it is, or a packed one, dequantized on the way.
// Everything else of a model (embedding, norms, biases) is always read from the checkpoint itself. Thread-safe.
class LinearSource {
 public:
  virtual ~LinearSource() = default;

  // Fills weight_out, [rows, cols] of the linear's shape, in host memory.
  // Errors: those of reading; InvalidArgument, naming the tensor, when it does not have that shape or when a value is
  // NaN or infinite.
  virtual absl::Status ReadWeight(int layer, LinearRole role, MatrixView<float> weight_out) const = 0;
};

// The tensors "model.layers.N.<linear>.weight" of a checkpoint, which it borrows.
class CheckpointLinears final : public LinearSource {
 public:
  explicit CheckpointLinears(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  absl::Status ReadWeight(int layer, LinearRole role, MatrixView<float> weight_out) const override;

 private:
  const Checkpoint& checkpoint_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_MODEL_LINEAR_SOURCE_H_

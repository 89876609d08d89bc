#include "core/model/linear_source.h"

#include "core/model/model_tensors.h"

namespace gptvq {

absl::Status CheckpointLinears::ReadWeight(int layer, LinearRole role, MatrixView<float> weight_out) const {
  return ReadTensor(checkpoint_, {WeightTensor(layer, role), {weight_out.rows, weight_out.cols}}, weight_out);
}

}  // namespace gptvq

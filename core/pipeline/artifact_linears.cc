#include "core/pipeline/artifact_linears.h"

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {

absl::Status ArtifactLinears::ReadWeight(int layer, LinearRole role, MatrixView<float> weight_out) const {
  if (artifact_.layer() != layer) {
    return absl::DataLossError(
        absl::StrCat("the artifact of layer ", artifact_.layer(), " was given for layer ", layer));
  }
  const std::string path = LinearPath(layer, role);
  GPTVQ_ASSIGN_OR_RETURN(const QuantizedLinear linear, artifact_.ReadLinear(path));
  if (RowCount(linear) != weight_out.rows || ColumnCount(linear) != weight_out.cols) {
    return absl::DataLossError(absl::StrCat(path, ": published as ", RowCount(linear), " x ", ColumnCount(linear),
                                            ", the model has ", weight_out.rows, " x ", weight_out.cols));
  }
  Dequantize(linear, weight_out);
  return absl::OkStatus();
}

}  // namespace gptvq

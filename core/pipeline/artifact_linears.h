#ifndef GPTVQ_CORE_PIPELINE_ARTIFACT_LINEARS_H_
#define GPTVQ_CORE_PIPELINE_ARTIFACT_LINEARS_H_

#include "core/format/layer_artifact.h"
#include "core/model/linear_source.h"

namespace gptvq {

// The dequantized linears of one published layer, which it borrows. Thread-safe.
class ArtifactLinears final : public LinearSource {
 public:
  explicit ArtifactLinears(const LayerArtifact& artifact) : artifact_(artifact) {}

  // Errors: DataLoss when the artifact is of another layer or the linear has another shape; those of reading.
  absl::Status ReadWeight(int layer, LinearRole role, MatrixView<float> weight_out) const override;

 private:
  const LayerArtifact& artifact_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_ARTIFACT_LINEARS_H_

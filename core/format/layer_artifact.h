#ifndef GPTVQ_CORE_FORMAT_LAYER_ARTIFACT_H_
#define GPTVQ_CORE_FORMAT_LAYER_ARTIFACT_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/file.h"
#include "core/format/checkpoint.h"
#include "core/format/packed_layout.h"
#include "core/spec/quant_spec.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// A quantized linear and the module it belongs to, e.g. model.layers.3.mlp.down_proj.
struct NamedLinear {
  std::string name;
  QuantizedLinear linear;
};

// The same, borrowed.
struct NamedLinearView {
  std::string_view name;
  const QuantizedLinear& linear;
};

// Writes what a worker publishes for one decoder layer, or keeps of one that it works on (docs/format.md section 8). A
// pure function of its arguments, whatever the order of `linears`. Does not close `file`. Memory: O(packed layer).
// Errors: InvalidArgument naming the linear when it is not what `spec` produces or a name is twice there; those of
// WritableFile::Append.
absl::Status WriteLayerArtifact(int layer, const QuantSpec& spec, absl::Span<const NamedLinearView> linears,
                                WritableFile& file);
absl::Status WriteLayerArtifact(int layer, const QuantSpec& spec, absl::Span<const NamedLinear> linears,
                                WritableFile& file);

// A layer artifact that somebody else wrote. Memory: O(header). Thread-safe.
class LayerArtifact {
 public:
  // Errors: those of SafetensorsReader::Open; InvalidArgument naming metadata key or tensor when a rule of section 8 is
  // broken; Unimplemented for another major format version.
  // The first form owns the file, the second borrows it.
  static absl::StatusOr<LayerArtifact> Open(std::unique_ptr<RandomAccessFile> file);
  static absl::StatusOr<LayerArtifact> Open(const RandomAccessFile& file);

  int layer() const { return layer_; }
  const QuantSpec& spec() const { return spec_; }
  const std::vector<PackedModule>& modules() const { return modules_.modules; }  // in byte order of their names
  const Checkpoint& tensors() const { return tensors_; }

  // Reads, checks and unpacks one linear. Errors: NotFound; those of ReadPackedTensors and UnpackLinear.
  absl::StatusOr<QuantizedLinear> ReadLinear(std::string_view name) const;

 private:
  explicit LayerArtifact(Checkpoint tensors) : tensors_(std::move(tensors)) {}
  static absl::StatusOr<LayerArtifact> OfTensors(Checkpoint tensors);
  absl::Status ReadMetadata();

  int layer_ = 0;
  QuantSpec spec_;
  PackedModules modules_;
  Checkpoint tensors_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_LAYER_ARTIFACT_H_

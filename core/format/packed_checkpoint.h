#ifndef GPTVQ_CORE_FORMAT_PACKED_CHECKPOINT_H_
#define GPTVQ_CORE_FORMAT_PACKED_CHECKPOINT_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/format/checkpoint.h"
#include "core/format/packed_layout.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// A result opened for reading: what its config.json says is packed, and its tensors. Everything that headers can tell is
// checked when it is opened (docs/format.md section 7.4), contents when they are read. The manifest is not looked at:
// that is VerifyCheckpoint. Memory: O(headers). Thread-safe.
class PackedCheckpoint {
 public:
  // Errors: NotFound when there is no config.json, or it says nothing of quantization; those of ParseQuantizationConfig,
  // Checkpoint::Open and CheckPackedTensors; InvalidArgument for packed tensors of a module that is not listed, and for a
  // weight beside the packed tensors of its module.
  static absl::StatusOr<PackedCheckpoint> Open(const ReadableDirectory& directory);

  const std::string& config_text() const { return config_text_; }
  const std::vector<PackedModule>& modules() const { return modules_.modules; }  // in byte order of their names
  const Checkpoint& tensors() const { return tensors_; }

  // Null when the module is not packed. Valid as long as the checkpoint.
  const PackedModule* Find(std::string_view module) const;

  // Reads, checks and unpacks one linear. Errors: NotFound; those of ReadPackedTensors and UnpackLinear.
  absl::StatusOr<QuantizedLinear> ReadLinear(std::string_view module) const;

 private:
  PackedCheckpoint(std::string config_text, PackedModules modules, Checkpoint tensors)
      : config_text_(std::move(config_text)), modules_(std::move(modules)), tensors_(std::move(tensors)) {}

  std::string config_text_;
  PackedModules modules_;
  Checkpoint tensors_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_PACKED_CHECKPOINT_H_

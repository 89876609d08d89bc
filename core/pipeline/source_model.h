#ifndef GPTVQ_CORE_PIPELINE_SOURCE_MODEL_H_
#define GPTVQ_CORE_PIPELINE_SOURCE_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/format/checkpoint.h"
#include "core/model/model_config.h"

namespace gptvq {

// A Hugging Face model directory opened for reading: configuration and index of tensors, no weights.
// Immutable, thread-safe. Borrows the directory.
class SourceModel {
 public:
  // Reads config.json and every safetensors header, and checks that every tensor of the architecture is there with the
  // right shape. Cheap: no weight is read.
  // Errors: NotFound (no config.json, missing shard or tensor), InvalidArgument (malformed or unsupported; the message
  // lists everything that was not recognised).
  static absl::StatusOr<std::unique_ptr<SourceModel>> Open(const ReadableDirectory& directory);

  const ReadableDirectory& directory() const { return directory_; }
  const ModelConfig& config() const { return config_; }
  const Checkpoint& checkpoint() const { return checkpoint_; }

  // What its owner may want to know before days of computing, one sentence each: oddities of the checkpoint, and tensors
  // that the architecture does not read, which reach the result unchanged.
  std::vector<std::string> Warnings() const;

 private:
  SourceModel(const ReadableDirectory& directory, ModelConfig config, Checkpoint checkpoint)
      : directory_(directory), config_(std::move(config)), checkpoint_(std::move(checkpoint)) {}

  const ReadableDirectory& directory_;
  const ModelConfig config_;
  const Checkpoint checkpoint_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_SOURCE_MODEL_H_

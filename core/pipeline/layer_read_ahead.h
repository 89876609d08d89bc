#ifndef GPTVQ_CORE_PIPELINE_LAYER_READ_AHEAD_H_
#define GPTVQ_CORE_PIPELINE_LAYER_READ_AHEAD_H_

#include <cstddef>
#include <stop_token>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/background_call.h"
#include "core/format/checkpoint.h"
#include "core/model/decoder_layer.h"
#include "core/model/model_config.h"
#include "core/pipeline/layer_upload.h"

namespace gptvq {

// Copies the tensors of a layer (its linears, biases and norms) into memory: a checkpoint of the same names, dtypes and
// bytes. Memory: the stored bytes of the layer. Errors: those of Checkpoint::ReadBytes; Cancelled when a stop was requested.
absl::StatusOr<Checkpoint> HoldLayer(const ModelConfig& config, const Checkpoint& source, int layer,
                                     std::stop_token stop);

// A layer that was read.
struct HeldLayer {
  Checkpoint tensors;
  std::vector<StoredLinears> uploaded;  // in the memory of every rank, or empty: UploadLinears
};

// Reads layers one ahead of whoever works on them, on a thread of its own, so that storage is read, and weights are copied to
// devices, while the backends compute, and every byte once. Memory of the host, and of devices where there are lanes: the
// layer that was taken, as long as its taker keeps it, and the next. Borrows configuration, checkpoint and lanes; destruction ends the reading within a MiB. Thread-compatible.
class LayerReadAhead {
 public:
  // Begins with the first layer at once.
  LayerReadAhead(const ModelConfig& config, const Checkpoint& source, std::vector<int> layers,
                 const UploadLanes& lanes);

  // The next layer; then the one behind it is being read. Release the layer before before asking.
  // Errors: those of HoldLayer and UploadLinears, about this very layer. Precondition: one is left.
  absl::StatusOr<HeldLayer> Next();

 private:
  void Begin();

  const ModelConfig& config_;
  const Checkpoint& source_;
  const std::vector<int> layers_;
  const UploadLanes& lanes_;
  std::size_t next_ = 0;  // not yet begun
  BackgroundCall<absl::StatusOr<HeldLayer>> reading_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_LAYER_READ_AHEAD_H_

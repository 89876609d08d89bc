#ifndef GPTVQ_CORE_FORMAT_WEIGHTS_WRITER_H_
#define GPTVQ_CORE_FORMAT_WEIGHTS_WRITER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/format/checkpoint.h"
#include "core/format/safetensors_writer.h"
#include "core/format/tensor_info.h"

namespace gptvq {

// A tensor to be written, and who appends its bytes when its turn comes.
struct TensorToWrite {
  TensorInfo info;
  std::function<absl::Status(SafetensorsWriter& writer)> append;
};

// Tensors that stay in one shard: those of a packed linear, or one other tensor.
struct WriteUnit {
  std::string name;
  std::vector<TensorToWrite> tensors;

  std::uint64_t byte_count() const;
};

// A tensor of `checkpoint`, which outlives it, copied byte for byte in pieces of 1 MiB.
TensorToWrite CopiedTensor(const Checkpoint& checkpoint, const TensorInfo& info);

// Writes the weights of a model directory (docs/format.md sections 3.3 and 3.4): one model.safetensors, or shards of at
// most `max_shard_bytes` and their index. Deterministic: a function of the set of units, whatever their order. Memory:
// what one append call takes. Returns the digests of the files written, by name.
// Errors: those of the append functions, SafetensorsWriter and WritableDirectory, naming the file.
absl::StatusOr<std::map<std::string, Digest>> WriteWeights(std::vector<WriteUnit> units, std::uint64_t max_shard_bytes,
                                                           WritableDirectory& directory);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_WEIGHTS_WRITER_H_

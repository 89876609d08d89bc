#ifndef GPTVQ_CORE_FORMAT_ASSEMBLE_H_
#define GPTVQ_CORE_FORMAT_ASSEMBLE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/format/checkpoint.h"
#include "core/format/layer_artifact.h"
#include "core/format/manifest.h"

namespace gptvq {

struct AssembleOptions {
  std::uint64_t max_shard_bytes = 5'000'000'000;  // what transformers writes
  ManifestFacts facts;
};

struct AssembledCheckpoint {
  Digest manifest;                 // identifies the result
  std::uint64_t output_bytes = 0;  // of all files, the manifest included
  BitCount bits;                   // of all packed linears
};

// Turns layer artifacts and their source model into a result: shards with the packed tensors in place of the quantized
// weights and every other tensor byte for byte, side files, config.json with one key added, the manifest last
// (docs/format.md sections 3, 7 and 9). Needs no computing device; may be repeated: the same inputs give the same bytes.
// Memory: O(headers) plus 1 MiB. `source` and `checkpoint` are the same model.
// Errors: InvalidArgument naming layer or linear when artifacts, reports and source do not belong together (spec, order
// of layers, a linear twice, a shape), and for a source that is quantized already; NotFound for a missing config.json or
// weight; AlreadyExists when the manifest of another result is there by then; those of reading and writing.
absl::StatusOr<AssembledCheckpoint> AssembleCheckpoint(const ReadableDirectory& source, const Checkpoint& checkpoint,
                                                       absl::Span<const LayerArtifact> layers,
                                                       const AssembleOptions& options, WritableDirectory& output);

// Whether a directory is free for the result of a job: it has no manifest, or that of the same job. To be asked before the first
// byte is written: the files of another result would be replaced one by one.
// Errors: AlreadyExists (the manifest of another result, or one that can not be read as such); those of reading.
absl::Status CheckNoOtherResult(const ReadableDirectory& output, const ManifestFacts& facts);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_ASSEMBLE_H_

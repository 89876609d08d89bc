#ifndef GPTVQ_CORE_FORMAT_INSPECT_H_
#define GPTVQ_CORE_FORMAT_INSPECT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/format/manifest.h"
#include "core/format/packed_layout.h"
#include "core/format/tensor_info.h"

namespace gptvq {

// What a result is, for people: read from the manifest and the headers, no weight is touched.
struct CheckpointSummary {
  Manifest manifest;  // spec, seed, bits, files, metrics per linear
  Digest manifest_digest;
  std::vector<PackedModule> modules;  // in byte order of their names
  std::vector<TensorInfo> tensors;    // all of them, in byte order of their names
  std::uint64_t output_bytes = 0;     // of all files
  std::uint64_t packed_bytes = 0;     // of the packed tensors
  std::uint64_t other_bytes = 0;      // of the tensors that stayed as they were
};

// Errors: NotFound when the directory is no result (no manifest); those of ParseManifest and PackedCheckpoint::Open.
absl::StatusOr<CheckpointSummary> InspectCheckpoint(const ReadableDirectory& directory);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_INSPECT_H_

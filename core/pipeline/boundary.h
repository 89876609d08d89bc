#ifndef GPTVQ_CORE_PIPELINE_BOUNDARY_H_
#define GPTVQ_CORE_PIPELINE_BOUNDARY_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/base/file.h"
#include "core/model/activations.h"

namespace gptvq {

// Boundaries as artifacts: the activations between two shards, a safetensors file with one tensor `activations`
// [samples * length, hidden] in the activation dtype of the backend, so that nothing is rounded on the way.
// Memory beside the activations: 16 MiB.

// Does not close the file. Errors: those of WritableFile::Append.
absl::Status WriteBoundary(const Activations& activations, WritableFile& file);

// `shape` is what the reader expects. Errors: InvalidArgument when the file is no boundary of that shape; those of
// SafetensorsReader and of allocation.
absl::StatusOr<Activations> ReadBoundary(std::unique_ptr<RandomAccessFile> file, const Activations::Shape& shape,
                                         Backend& backend);

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_BOUNDARY_H_

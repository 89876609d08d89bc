#ifndef GPTVQ_CORE_PIPELINE_EVALUATE_DIRECTORY_H_
#define GPTVQ_CORE_PIPELINE_EVALUATE_DIRECTORY_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/base/file.h"
#include "core/base/matrix_view.h"
#include "core/eval/perplexity.h"

namespace gptvq {

// Perplexity of whatever a directory holds: a Hugging Face model, or a result of this program, whose linears are
// dequantized layer by layer from their packed form. `windows` [windows, L] are token ids in host memory.
// Errors: NotFound and InvalidArgument as of SourceModel::Open and PackedCheckpoint::Open; those of EvaluatePerplexity.
absl::StatusOr<Perplexity> EvaluateDirectory(Backend& backend, const ReadableDirectory& directory,
                                             MatrixView<const std::int32_t> windows, EvaluationObserver observe);

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_EVALUATE_DIRECTORY_H_

#ifndef GPTVQ_CORE_FORMAT_EXPORT_DEQUANTIZED_H_
#define GPTVQ_CORE_FORMAT_EXPORT_DEQUANTIZED_H_

#include <cstdint>

#include "absl/status/status.h"
#include "core/base/dtype.h"
#include "core/base/file.h"

namespace gptvq {

struct ExportOptions {
  DType dtype = DType::kBf16;                     // of the dequantized weights: kBf16, kF16 or kF32
  std::uint64_t max_shard_bytes = 5'000'000'000;  // what transformers writes
};

// Writes a result as a plain Hugging Face model: every packed linear as a weight of `dtype`, rounded to nearest even;
// everything else byte for byte; config.json without quantization_config, and with the new dtype where it names one. No
// manifest is written. Deterministic. Memory: O(one linear).
// Errors: InvalidArgument for another dtype; OutOfRange, naming the tensor, when a weight passes the range of F16; those of
// PackedCheckpoint and of writing.
absl::Status ExportDequantized(const ReadableDirectory& directory, const ExportOptions& options,
                               WritableDirectory& output);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_EXPORT_DEQUANTIZED_H_

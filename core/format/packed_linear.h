#ifndef GPTVQ_CORE_FORMAT_PACKED_LINEAR_H_
#define GPTVQ_CORE_FORMAT_PACKED_LINEAR_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/format/packed_layout.h"
#include "core/format/packed_tensors.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// A quantized linear as the tensors of docs/format.md sections 5 and 6. Pure; results are a function of the arguments.

// Packs `linear`; the tensors come in the order of PackedTensorInfos.
// Errors: InvalidArgument when the linear is not valid or its geometry is not that of `module`.
absl::StatusOr<std::vector<PackedTensor>> PackLinear(const PackedModule& module, const QuantizedLinear& linear);

// The inverse of PackLinear, for tensors that somebody else wrote: checks everything that ValidateQuantizedLinear does,
// and that padding is zero. `tensors` are those of PackedTensorInfos, in that order.
// Errors: InvalidArgument naming tensor and row.
absl::StatusOr<QuantizedLinear> UnpackLinear(const PackedModule& module, absl::Span<const PackedTensor> tensors);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_PACKED_LINEAR_H_

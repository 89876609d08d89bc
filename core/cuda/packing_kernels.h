#ifndef GPTVQ_CORE_CUDA_PACKING_KERNELS_H_
#define GPTVQ_CORE_CUDA_PACKING_KERNELS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "absl/status/status.h"
#include "core/backend/packing_formulas.h"
#include "core/cuda/device_code.h"
#include "core/cuda/device_view.h"
#include "core/cuda/launch_plan.h"

// Assignments as the bits that are stored, and back: packing_formulas.h. PlanWarpRows; a grid row per stripe. Asynchronous on
// `stream`.
namespace gptvq::cuda {

// Where the vectors of a stripe lie in a row of assignments, and in a row of packed bytes.
struct PackedRun {
  std::int64_t first_vector = 0;
  std::int64_t vectors = 0;
  std::int64_t first_byte = 0;
  std::int64_t bytes = 0;
};

struct PackedCode {
  DeviceCode code;
  int index_bits = 0;

  GPTVQ_HD PackedRun RunOf(std::int64_t stripe_index) const {
    const DeviceStripe stripe = code.Stripe(stripe_index);
    const std::int64_t vectors = (stripe.column_end - stripe.column_begin) / code.vector_dim;
    return {stripe.column_begin / code.vector_dim, vectors,
            stripe_index * PackedRunBytes(code.stripe_columns / code.vector_dim, index_bits),
            PackedRunBytes(vectors, index_bits)};
  }
};

absl::Status LaunchPackAssignments(const RowsPlan& plan, const PackedCode& code,
                                   DeviceView<const std::uint8_t> assignments, DeviceView<std::uint8_t> packed_out,
                                   cudaStream_t stream);
absl::Status LaunchUnpackAssignments(const RowsPlan& plan, const PackedCode& code,
                                     DeviceView<const std::uint8_t> packed, DeviceView<std::uint8_t> assignments_out,
                                     cudaStream_t stream);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_PACKING_KERNELS_H_

// PackAssignments: byte n of a run = the bits of its codes that fall into it. UnpackAssignments: the inverse. A warp takes one
// row of one stripe, a lane every 32nd element of the result, so that neighbouring lanes read neighbouring codes.
// Bytes per vector: 1 read and b / 8 written, or the other way round; the roof is device memory, and beside one refinement
// pass (a hundred bytes per vector and more) it does not show.
// Accumulation: none. Determinism: integers.
// Limits: b from 1 to 8.
#include "core/cuda/cuda_status.h"
#include "core/cuda/packing_kernels.h"

namespace gptvq::cuda {
namespace {

__global__ __launch_bounds__(256) void PackAssignmentsKernel(const PackedCode code,
                                                             DeviceView<const std::uint8_t> assignments,
                                                             DeviceView<std::uint8_t> packed) {
  for (std::int64_t index = blockIdx.y; index < code.code.stripe_count; index += gridDim.y) {
    const PackedRun run = code.RunOf(index);
    for (std::int64_t r = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; r < packed.rows;
         r += std::int64_t{gridDim.x} * blockDim.y) {
      const std::uint8_t* codes = assignments.row(r) + run.first_vector;
      std::uint8_t* bytes = packed.row(r) + run.first_byte;
      for (std::int64_t i = threadIdx.x; i < run.bytes; i += blockDim.x) {
        bytes[i] = PackedByte(codes, run.vectors, code.index_bits, i);
      }
    }
  }
}

__global__ __launch_bounds__(256) void UnpackAssignmentsKernel(const PackedCode code,
                                                               DeviceView<const std::uint8_t> packed,
                                                               DeviceView<std::uint8_t> assignments) {
  for (std::int64_t index = blockIdx.y; index < code.code.stripe_count; index += gridDim.y) {
    const PackedRun run = code.RunOf(index);
    for (std::int64_t r = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; r < assignments.rows;
         r += std::int64_t{gridDim.x} * blockDim.y) {
      const std::uint8_t* bytes = packed.row(r) + run.first_byte;
      std::uint8_t* codes = assignments.row(r) + run.first_vector;
      for (std::int64_t i = threadIdx.x; i < run.vectors; i += blockDim.x) {
        codes[i] = UnpackedCode(bytes, code.index_bits, i);
      }
    }
  }
}

dim3 GridOf(const RowsPlan& plan, const PackedCode& code) {
  return dim3(plan.grid,
              static_cast<unsigned>(code.code.stripe_count < kMaxGridYZ ? code.code.stripe_count : kMaxGridYZ));
}

}  // namespace

absl::Status LaunchPackAssignments(const RowsPlan& plan, const PackedCode& code,
                                   DeviceView<const std::uint8_t> assignments, DeviceView<std::uint8_t> packed_out,
                                   cudaStream_t stream) {
  PackAssignmentsKernel<<<GridOf(plan, code), dim3(plan.threads_x, plan.threads_y), 0, stream>>>(code, assignments,
                                                                                                 packed_out);
  return LaunchStatus("PackAssignmentsKernel");
}

absl::Status LaunchUnpackAssignments(const RowsPlan& plan, const PackedCode& code,
                                     DeviceView<const std::uint8_t> packed, DeviceView<std::uint8_t> assignments_out,
                                     cudaStream_t stream) {
  UnpackAssignmentsKernel<<<GridOf(plan, code), dim3(plan.threads_x, plan.threads_y), 0, stream>>>(code, packed,
                                                                                                   assignments_out);
  return LaunchStatus("UnpackAssignmentsKernel");
}

}  // namespace gptvq::cuda

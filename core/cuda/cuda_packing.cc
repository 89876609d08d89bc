// Assignments as the bits that are stored, and back.
#include "core/backend/quant_checks.h"
#include "core/base/status_macros.h"
#include "core/cuda/cuda_quant_ops.h"
#include "core/cuda/packing_kernels.h"

namespace gptvq::cuda {

absl::Status CudaQuantOps::PackAssignments(const VectorCode& code, ConstAssignments assignments,
                                           PackedIndices packed_out) {
  GPTVQ_RETURN_IF_ERROR(CheckPackedIndices("PackAssignments", code, assignments, packed_out));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return LaunchPackAssignments(PlanWarpRows(packed_out.rows, context_.limits()),
                               {MakeDeviceCode(code), code.index_bits}, ReadOnly(assignments), OnDevice(packed_out),
                               context_.stream());
}

absl::Status CudaQuantOps::UnpackAssignments(const VectorCode& code, ConstPackedIndices packed,
                                             Assignments assignments_out) {
  GPTVQ_RETURN_IF_ERROR(CheckPackedIndices("UnpackAssignments", code, assignments_out, packed));
  GPTVQ_RETURN_IF_ERROR(context_.Activate());
  return LaunchUnpackAssignments(PlanWarpRows(packed.rows, context_.limits()), {MakeDeviceCode(code), code.index_bits},
                                 ReadOnly(packed), OnDevice(assignments_out), context_.stream());
}

}  // namespace gptvq::cuda

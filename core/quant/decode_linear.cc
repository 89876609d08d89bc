#include "core/quant/decode_linear.h"

#include <cstdint>
#include <variant>
#include <vector>

#include "core/backend/device_matrix.h"
#include "core/backend/require.h"
#include "core/base/status_macros.h"
#include "core/quant/block_scale.h"
#include "core/spec/bit_packing.h"

namespace gptvq {
namespace {

absl::StatusOr<DeviceMatrix<float>> UploadBlockScales(Backend& backend, const BlockScales& scales, std::int64_t rows,
                                                      std::int64_t cols) {
  const std::int64_t blocks = scales.block_count(cols);
  if (blocks == 0) return DeviceMatrix<float>();
  std::vector<float> decoded(static_cast<std::size_t>(rows * blocks));
  DecodeBlockScales(scales, 0, MatrixView<float>(decoded.data(), rows, blocks));
  return DeviceMatrix<float>::FromHost(backend, decoded.data(), rows, blocks);
}

// They travel as bits.
absl::StatusOr<DeviceMatrix<std::uint8_t>> UploadAssignments(Backend& backend, const VectorQuantizedLinear& linear,
                                                             const VectorCode& code) {
  const std::int64_t rows = code.layout->rows();
  GPTVQ_ASSIGN_OR_RETURN(const auto packed, DeviceMatrix<std::uint8_t>::FromHost(
                                                backend, linear.packed_indices.data(), rows,
                                                PackedIndexRowBytes(*code.layout, code.vector_dim, code.index_bits)));
  GPTVQ_ASSIGN_OR_RETURN(auto assignments,
                         DeviceMatrix<std::uint8_t>::Allocate(backend, rows, code.layout->cols() / code.vector_dim));
  GPTVQ_RETURN_IF_ERROR(backend.quant().UnpackAssignments(code, packed.view(), assignments.view()));
  return assignments;
}

absl::Status Decode(Backend& backend, const VectorQuantizedLinear& linear, TensorView weight_out) {
  const GroupLayout& layout = linear.layout;
  const std::int64_t rows = layout.rows(), cols = layout.cols();
  const std::vector<float> values = linear.DecodedCodebooks();
  GPTVQ_ASSIGN_OR_RETURN(const auto codebooks,
                         DeviceMatrix<float>::FromHost(backend, values.data(), layout.group_count(),
                                                       std::int64_t{linear.vector_dim} << linear.index_bits));
  GPTVQ_ASSIGN_OR_RETURN(const auto scales, UploadBlockScales(backend, linear.block_scales, rows, cols));
  const VectorCode code = {.layout = &layout,
                           .vector_dim = linear.vector_dim,
                           .index_bits = linear.index_bits,
                           .block_scales = scales.view(),
                           .block_scale_columns = linear.block_scales.block_columns};
  GPTVQ_ASSIGN_OR_RETURN(const auto assignments, UploadAssignments(backend, linear, code));
  if (weight_out.dtype == DType::kF32) {
    return backend.quant().DecodeVectors(code, codebooks.view(), assignments.view(), weight_out.As<float>());
  }
  GPTVQ_ASSIGN_OR_RETURN(auto exact, DeviceMatrix<float>::Allocate(backend, rows, cols));
  GPTVQ_RETURN_IF_ERROR(backend.quant().DecodeVectors(code, codebooks.view(), assignments.view(), exact.view()));
  return backend.forward().Convert(AsTensor(exact.view()), weight_out);
}

absl::Status Decode(Backend& backend, const UniformQuantizedLinear& linear, TensorView weight_out) {
  std::vector<float> weights(static_cast<std::size_t>(linear.rows * linear.cols));
  const MatrixView<float> view(weights.data(), linear.rows, linear.cols);
  Dequantize(linear, view);
  return backend.CopyFromHost(view, weight_out);
}

}  // namespace

absl::Status DecodeLinear(Backend& backend, const QuantizedLinear& linear, TensorView weight_out) {
  GPTVQ_RETURN_IF_ERROR(Require(HasShape(weight_out, RowCount(linear), ColumnCount(linear)), "DecodeLinear",
                                "the weight has the shape of the linear"));
  return std::visit([&](const auto& coded) { return Decode(backend, coded, weight_out); }, linear);
}

}  // namespace gptvq

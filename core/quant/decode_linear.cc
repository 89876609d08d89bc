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

absl::Status CheckShape(std::int64_t rows, std::int64_t cols, TensorView weight_out) {
  return Require(HasShape(weight_out, rows, cols), "DecodeLinear", "the weight has the shape of the linear");
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

// What turns the assignments of a linear into weights, in backend memory. Borrows the linear's layout.
struct VectorDecoder {
  VectorCode code;
  DeviceMatrix<float> codebooks;
  DeviceMatrix<float> scales;

  static absl::StatusOr<VectorDecoder> Make(Backend& backend, const VectorQuantizedLinear& linear) {
    const GroupLayout& layout = linear.layout;
    const std::vector<float> values = linear.DecodedCodebooks();
    VectorDecoder decoder;
    GPTVQ_ASSIGN_OR_RETURN(decoder.codebooks,
                           DeviceMatrix<float>::FromHost(backend, values.data(), layout.group_count(),
                                                         std::int64_t{linear.vector_dim} << linear.index_bits));
    GPTVQ_ASSIGN_OR_RETURN(decoder.scales,
                           UploadBlockScales(backend, linear.block_scales, layout.rows(), layout.cols()));
    decoder.code = {.layout = &layout,
                    .vector_dim = linear.vector_dim,
                    .index_bits = linear.index_bits,
                    .block_scales = decoder.scales.view(),
                    .block_scale_columns = linear.block_scales.block_columns};
    return decoder;
  }

  absl::Status Decode(Backend& backend, ConstAssignments assignments, TensorView weight_out) const {
    if (weight_out.dtype == DType::kF32) {
      return backend.quant().DecodeVectors(code, codebooks.view(), assignments, weight_out.As<float>());
    }
    GPTVQ_ASSIGN_OR_RETURN(auto exact, DeviceMatrix<float>::Allocate(backend, weight_out.rows, weight_out.cols));
    GPTVQ_RETURN_IF_ERROR(backend.quant().DecodeVectors(code, codebooks.view(), assignments, exact.view()));
    return backend.forward().Convert(AsTensor(exact.view()), weight_out);
  }
};

absl::Status Decode(Backend& backend, const VectorQuantizedLinear& linear, TensorView weight_out) {
  GPTVQ_ASSIGN_OR_RETURN(const VectorDecoder decoder, VectorDecoder::Make(backend, linear));
  GPTVQ_ASSIGN_OR_RETURN(const auto assignments, UploadAssignments(backend, linear, decoder.code));
  return decoder.Decode(backend, assignments.view(), weight_out);
}

absl::Status Decode(Backend& backend, const UniformQuantizedLinear& linear, TensorView weight_out) {
  std::vector<float> weights(static_cast<std::size_t>(linear.rows * linear.cols));
  const MatrixView<float> view(weights.data(), linear.rows, linear.cols);
  Dequantize(linear, view);
  return backend.CopyFromHost(view, weight_out);
}

}  // namespace

absl::Status DecodeLinear(Backend& backend, const QuantizedLinear& linear, TensorView weight_out) {
  GPTVQ_RETURN_IF_ERROR(CheckShape(RowCount(linear), ColumnCount(linear), weight_out));
  return std::visit([&](const auto& coded) { return Decode(backend, coded, weight_out); }, linear);
}

absl::Status DecodeLinear(Backend& backend, const VectorQuantizedLinear& linear, ConstAssignments assignments,
                          TensorView weight_out) {
  GPTVQ_RETURN_IF_ERROR(CheckShape(linear.layout.rows(), linear.layout.cols(), weight_out));
  GPTVQ_ASSIGN_OR_RETURN(const VectorDecoder decoder, VectorDecoder::Make(backend, linear));
  return decoder.Decode(backend, assignments, weight_out);
}

}  // namespace gptvq

#include "core/quant/vector_state.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/quant/block_scale.h"
#include "core/spec/bit_packing.h"

namespace gptvq {

absl::StatusOr<VectorState> VectorState::Make(Backend& backend, DeviceMatrix<float> weights, const QuantSpec& spec) {
  GPTVQ_ASSIGN_OR_RETURN(const GroupLayout linear, GroupLayout::Make(weights.rows(), weights.cols(), spec));
  return Make(backend, std::move(weights), spec, RowShare(linear));
}

absl::StatusOr<VectorState> VectorState::Make(Backend& backend, DeviceMatrix<float> weights, const QuantSpec& spec,
                                              RowShare share) {
  GPTVQ_CHECK(weights.rows() == share.rows().count());
  VectorState state;
  state.share = std::move(share);
  state.vector_dim = spec.vector_dim;
  state.index_bits = spec.index_bits;
  state.weights = std::move(weights);
  const std::int64_t rows = state.weights.rows();
  const std::int64_t cols = state.weights.cols();
  GPTVQ_ASSIGN_OR_RETURN(state.layout, GroupLayout::Make(rows, cols, spec));
  const std::int64_t groups = state.layout.group_count();
  const std::int64_t entries = state.entries_per_codebook();
  GPTVQ_ASSIGN_OR_RETURN(state.assignments, DeviceMatrix<std::uint8_t>::Zeros(backend, rows, cols / spec.vector_dim));
  GPTVQ_ASSIGN_OR_RETURN(state.codebooks, DeviceMatrix<float>::Zeros(backend, groups, entries));
  state.values.assign(static_cast<std::size_t>(groups * entries), 0);
  state.stored = MakeStoredCodebooks(spec.codebook_dtype, groups, entries);
  if (spec.block_scale_columns > 0) {
    state.block_scales = MakeBlockScales(rows, cols, spec.block_scale_columns);
    const std::int64_t blocks = state.block_scales.block_count(cols);
    const std::vector<float> ones(static_cast<std::size_t>(rows * blocks), 1.0f);
    GPTVQ_ASSIGN_OR_RETURN(state.scales, DeviceMatrix<float>::FromHost(backend, ones.data(), rows, blocks));
  }
  return state;
}

VectorCode VectorState::code() const {
  VectorCode code;
  code.layout = &layout;
  code.vector_dim = vector_dim;
  code.index_bits = index_bits;
  code.block_scales = scales.view();
  code.block_scale_columns = block_scales.block_columns;
  return code;
}

absl::Status VectorState::RoundCodebooks(Backend& backend, std::int64_t first_group, std::int64_t group_count) {
  for (std::int64_t g = first_group; g < first_group + group_count; ++g) RoundCodebook(g, CodebookOf(g), stored);
  const MatrixView<float> target = codebooks.view().Rows(first_group, group_count);
  return backend.CopyBytesFromHost(CodebookOf(first_group).data(), target.data,
                                   static_cast<std::size_t>(target.rows * target.cols) * sizeof(float));
}

absl::Status VectorState::RoundDeviceCodebooks(Backend& backend, std::int64_t first_group, std::int64_t group_count) {
  const MatrixView<float> source = codebooks.view().Rows(first_group, group_count);
  GPTVQ_RETURN_IF_ERROR(backend.CopyBytesToHost(source.data, CodebookOf(first_group).data(),
                                                static_cast<std::size_t>(source.rows * source.cols) * sizeof(float)));
  return RoundCodebooks(backend, first_group, group_count);
}

absl::Status VectorState::Store(Backend& backend, StoredCodebooks replacement) {
  VectorQuantizedLinear decoder;
  decoder.layout = layout;
  decoder.vector_dim = vector_dim;
  decoder.index_bits = index_bits;
  decoder.codebooks = std::move(replacement);
  values = decoder.DecodedCodebooks();
  stored = std::move(decoder.codebooks);
  return backend.CopyBytesFromHost(values.data(), codebooks.view().data, codebooks.bytes());
}

absl::StatusOr<DeviceMatrix<std::uint8_t>> VectorState::PackedIndices(Backend& backend) const {
  GPTVQ_ASSIGN_OR_RETURN(auto packed, DeviceMatrix<std::uint8_t>::Allocate(
                                          backend, layout.rows(), PackedIndexRowBytes(layout, vector_dim, index_bits)));
  GPTVQ_RETURN_IF_ERROR(backend.quant().PackAssignments(code(), assignments.view(), packed.view()));
  return packed;
}

absl::StatusOr<VectorQuantizedLinear> VectorState::Release(Backend& backend) {
  VectorQuantizedLinear linear;
  GPTVQ_ASSIGN_OR_RETURN(const DeviceMatrix<std::uint8_t> packed, PackedIndices(backend));
  GPTVQ_ASSIGN_OR_RETURN(linear.packed_indices, packed.ToHost(backend));
  linear.layout = std::move(layout);
  linear.vector_dim = vector_dim;
  linear.index_bits = index_bits;
  linear.codebooks = std::move(stored);
  linear.block_scales = std::move(block_scales);
  return linear;
}

}  // namespace gptvq

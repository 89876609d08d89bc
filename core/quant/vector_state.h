#ifndef GPTVQ_CORE_QUANT_VECTOR_STATE_H_
#define GPTVQ_CORE_QUANT_VECTOR_STATE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"
#include "core/base/matrix_view.h"
#include "core/quant/codebook_rounding.h"
#include "core/quant/row_share.h"
#include "core/spec/group_layout.h"
#include "core/spec/quant_spec.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// One linear, or a share of its rows, while its vector-quantized form is being made: passed from the sweep to the codebook
// updates and the refinement. Owns its memory; move-only; must not outlive the backend. R rows, C columns, G groups, K centroids.
// Invariant: `codebooks`, `values` and the decoded `stored` are the same numbers, and `scales` decodes `block_scales`.
struct VectorState {
  GroupLayout layout;
  RowShare share;  // which rows of which linear these are
  int vector_dim = 0;
  int index_bits = 0;
  DeviceMatrix<float> weights;             // [R, C]: what is approximated
  DeviceMatrix<std::uint8_t> assignments;  // [R, C / d]
  DeviceMatrix<float> codebooks;           // [G, K d]
  std::vector<float> values;               // the same in host memory
  StoredCodebooks stored;
  BlockScales block_scales;
  DeviceMatrix<float> scales;  // [R, blocks]; empty without block scales

  // Everything but the weights is zero (scales: one). Without a share the weights are a whole linear.
  // Errors: those of GroupLayout::Make; ResourceExhausted. Precondition: `weights` has the rows of the share.
  static absl::StatusOr<VectorState> Make(Backend& backend, DeviceMatrix<float> weights, const QuantSpec& spec);
  static absl::StatusOr<VectorState> Make(Backend& backend, DeviceMatrix<float> weights, const QuantSpec& spec,
                                          RowShare share);

  std::int64_t entries_per_codebook() const { return std::int64_t{vector_dim} << index_bits; }
  absl::Span<float> CodebookOf(std::int64_t group) {
    return absl::MakeSpan(values).subspan(group * entries_per_codebook(), entries_per_codebook());
  }

  // Borrows this.
  VectorCode code() const;

  // Rounds the host codebooks of `group_count` groups into `stored` and copies the result to `codebooks`.
  absl::Status RoundCodebooks(Backend& backend, std::int64_t first_group, std::int64_t group_count);

  // The same for codebooks that were written to `codebooks` on the device.
  absl::Status RoundDeviceCodebooks(Backend& backend, std::int64_t first_group, std::int64_t group_count);

  // Replaces the stored codebooks, whatever their kind; `values` and `codebooks` become what they decode to.
  absl::Status Store(Backend& backend, StoredCodebooks replacement);

  // The assignments as the bits that are stored, in backend memory: QuantOps::PackAssignments.
  absl::StatusOr<DeviceMatrix<std::uint8_t>> PackedIndices(Backend& backend) const;

  // The finished linear, whose indices the backend packs. Leaves the state its assignments, without layout and stored parts.
  absl::StatusOr<VectorQuantizedLinear> Release(Backend& backend);
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_VECTOR_STATE_H_

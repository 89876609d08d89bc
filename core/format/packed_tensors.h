#ifndef GPTVQ_CORE_FORMAT_PACKED_TENSORS_H_
#define GPTVQ_CORE_FORMAT_PACKED_TENSORS_H_

#include <cstddef>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/format/checkpoint.h"
#include "core/format/packed_layout.h"
#include "core/format/tensor_info.h"
#include "core/spec/bits_per_value.h"

namespace gptvq {

// The tensors that stand in the place of a quantized weight: docs/format.md sections 5 and 6. Their names are the
// module's name and one of these.
inline constexpr std::string_view kIndicesSuffix = ".vq_indices";
inline constexpr std::string_view kCodebooksSuffix = ".vq_codebooks";
inline constexpr std::string_view kCodebookScalesSuffix = ".vq_codebook_scales";
inline constexpr std::string_view kSvdCodesSuffix = ".vq_svd_codes";
inline constexpr std::string_view kSvdBasisSuffix = ".vq_svd_basis";
inline constexpr std::string_view kBlockScalesSuffix = ".vq_block_scales";
inline constexpr std::string_view kBlockScaleParamsSuffix = ".vq_block_scale_params";
inline constexpr std::string_view kUniformCodesSuffix = ".uq_codes";
inline constexpr std::string_view kUniformScalesSuffix = ".uq_scales";
inline constexpr std::string_view kUniformZeroPointsSuffix = ".uq_zero_points";
inline constexpr std::string_view kUniformPermutationSuffix = ".uq_permutation";

inline constexpr int kBlockScaleBits = 4;

// A tensor with its bytes, row-major and little-endian.
struct PackedTensor {
  TensorInfo info;
  std::vector<std::byte> bytes;  // info.byte_count() of them
};

// True for names that only packed tensors have.
bool IsPackedTensorName(std::string_view name);

// The tensors that a module needs, in byte order of their names. Constant time and memory, whatever the shape says.
// Errors: InvalidArgument when the layout is not valid or does not fit the shape.
absl::StatusOr<std::vector<TensorInfo>> PackedTensorInfos(const PackedModule& module);

// What those tensors occupy: equal to CountBits of the unpacked linear. Errors: as above.
absl::StatusOr<BitCount> CountPackedBits(const PackedModule& module);

// Whether `checkpoint` holds the tensors of a module with the right shapes and dtypes, by its headers alone.
// Errors: those above; NotFound naming the tensor; InvalidArgument for another shape or dtype.
absl::Status CheckPackedTensors(const PackedModule& module, const Checkpoint& checkpoint);

// The stored tensors of a module in the order of PackedTensorInfos, shapes and dtypes checked, contents not.
// Errors: those of CheckPackedTensors and Checkpoint::ReadBytes.
absl::StatusOr<std::vector<PackedTensor>> ReadPackedTensors(const PackedModule& module, const Checkpoint& checkpoint);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_PACKED_TENSORS_H_

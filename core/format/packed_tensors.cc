#include "core/format/packed_tensors.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/spec/bit_packing.h"

namespace gptvq {
namespace {

constexpr std::int64_t kMaxSide = std::int64_t{1} << 31;
constexpr std::int64_t kMaxGroups = std::int64_t{1} << 40;

constexpr std::pair<std::string_view, std::int64_t BitCount::*> kPartOfSuffix[] = {
    {kIndicesSuffix, &BitCount::index_bits},
    {kCodebooksSuffix, &BitCount::codebook_bits},
    {kCodebookScalesSuffix, &BitCount::codebook_scale_bits},
    {kSvdCodesSuffix, &BitCount::codebook_bits},
    {kSvdBasisSuffix, &BitCount::codebook_scale_bits},
    {kBlockScalesSuffix, &BitCount::block_scale_bits},
    {kBlockScaleParamsSuffix, &BitCount::block_scale_bits},
    {kUniformCodesSuffix, &BitCount::index_bits},
    {kUniformScalesSuffix, &BitCount::block_scale_bits},
    {kUniformZeroPointsSuffix, &BitCount::block_scale_bits},
    {kUniformPermutationSuffix, &BitCount::permutation_bits},
};

std::int64_t CeilDivide(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The names, dtypes and shapes of one module.
struct InfoLister {
  const PackedModule& module;
  std::vector<TensorInfo> infos;

  void Add(std::string_view suffix, DType dtype, std::vector<std::int64_t> shape) {
    infos.push_back({absl::StrCat(module.name, std::string(suffix)), dtype, std::move(shape)});
  }

  absl::Status operator()(const VectorLayout& layout) {
    const std::int64_t rows = module.rows;
    const std::int64_t cols = module.cols;
    const std::int64_t d = layout.vector_dim;
    if (cols % d != 0) {
      return absl::InvalidArgumentError(absl::StrCat(cols, " columns are no multiple of the vector dimension ", d));
    }
    // GroupLayout in closed form: a hostile shape must not cost a list of stripes before its tensors are known to exist.
    const std::int64_t width = std::min<std::int64_t>(layout.columns_per_group, layout.group_weights);
    std::int64_t row_bytes = 0;
    std::int64_t groups = 0;
    for (const auto& [count, columns] :
         {std::pair(cols / width, width), std::pair<std::int64_t, std::int64_t>(1, cols % width)}) {
      if (columns == 0) continue;
      row_bytes += count * PackedRowBytes(columns / d, layout.index_bits);
      groups += count * std::clamp<std::int64_t>(rows * columns / layout.group_weights, 1, rows);
    }
    if (groups > kMaxGroups) return absl::InvalidArgumentError(absl::StrCat("more than ", kMaxGroups, " codebooks"));
    const std::int64_t centroids = std::int64_t{1} << layout.index_bits;
    Add(kIndicesSuffix, DType::kU8, {rows, row_bytes});
    switch (layout.codebook) {
      case CodebookKind::kInt8:
        Add(kCodebooksSuffix, DType::kI8, {groups, centroids, d});
        Add(kCodebookScalesSuffix, DType::kBf16, {groups});
        break;
      case CodebookKind::kFp16: Add(kCodebooksSuffix, DType::kF16, {groups, centroids, d}); break;
      case CodebookKind::kSvd:
        Add(kSvdCodesSuffix, DType::kI8, {groups, layout.svd_rank});
        Add(kSvdBasisSuffix, DType::kF32, {layout.svd_rank, centroids});
        break;
    }
    if (layout.block_scale_columns == 0) return absl::OkStatus();
    const std::int64_t blocks = CeilDivide(cols, layout.block_scale_columns);
    Add(kBlockScalesSuffix, DType::kU8, {rows, PackedRowBytes(blocks, kBlockScaleBits)});
    Add(kBlockScaleParamsSuffix, DType::kF32, {blocks, 2});
    return absl::OkStatus();
  }

  absl::Status operator()(const UniformLayout& layout) {
    const std::int64_t groups = CeilDivide(module.cols, layout.group_columns);
    Add(kUniformCodesSuffix, DType::kU8, {module.rows, PackedRowBytes(module.cols, layout.bits)});
    Add(kUniformScalesSuffix, DType::kF16, {module.rows, groups});
    Add(kUniformZeroPointsSuffix, DType::kU8, {module.rows, PackedRowBytes(groups, layout.bits)});
    if (layout.permuted) Add(kUniformPermutationSuffix, DType::kI32, {module.cols});
    return absl::OkStatus();
  }
};

}  // namespace

absl::StatusOr<std::vector<TensorInfo>> PackedTensorInfos(const PackedModule& module) {
  GPTVQ_RETURN_IF_ERROR(WithContext(ValidateLayout(module.layout), module.name));
  if (module.rows < 1 || module.cols < 1 || module.rows > kMaxSide || module.cols > kMaxSide) {
    return absl::InvalidArgumentError(
        absl::StrCat(module.name, ": a matrix of ", module.rows, " x ", module.cols, " can not be packed"));
  }
  InfoLister lister{module, {}};
  GPTVQ_RETURN_IF_ERROR(WithContext(std::visit(lister, module.layout), module.name));
  std::sort(lister.infos.begin(), lister.infos.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  return std::move(lister.infos);
}

bool IsPackedTensorName(std::string_view name) {
  return std::any_of(std::begin(kPartOfSuffix), std::end(kPartOfSuffix), [name](const auto& part) {
    return name.size() > part.first.size() && name.substr(name.size() - part.first.size()) == part.first;
  });
}

absl::StatusOr<BitCount> CountPackedBits(const PackedModule& module) {
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<TensorInfo> infos, PackedTensorInfos(module));
  BitCount count;
  count.weights = module.rows * module.cols;
  for (const TensorInfo& info : infos) {
    for (const auto& [suffix, part] : kPartOfSuffix) {
      if (info.name.substr(module.name.size()) == suffix) {
        count.*part += 8 * static_cast<std::int64_t>(info.byte_count());
      }
    }
  }
  return count;
}

absl::Status CheckPackedTensors(const PackedModule& module, const Checkpoint& checkpoint) {
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<TensorInfo> infos, PackedTensorInfos(module));
  for (const TensorInfo& info : infos) {
    GPTVQ_ASSIGN_OR_RETURN(const TensorInfo stored, checkpoint.Get(info.name));
    if (stored != info) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", info.name, "' is ", Describe(stored), "; its layout needs ", Describe(info)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PackedTensor>> ReadPackedTensors(const PackedModule& module, const Checkpoint& checkpoint) {
  GPTVQ_RETURN_IF_ERROR(CheckPackedTensors(module, checkpoint));
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<TensorInfo> infos, PackedTensorInfos(module));
  std::vector<PackedTensor> tensors;
  for (const TensorInfo& info : infos) {
    PackedTensor& tensor = tensors.emplace_back(PackedTensor{info, std::vector<std::byte>(info.byte_count())});
    GPTVQ_RETURN_IF_ERROR(checkpoint.ReadBytes(info.name, 0, absl::MakeSpan(tensor.bytes)));
  }
  return tensors;
}

}  // namespace gptvq

#include "core/format/packed_linear.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/spec/bit_packing.h"

namespace gptvq {
namespace {

// Write access to the tensors of one module by suffix.
class TensorFiller {
 public:
  explicit TensorFiller(std::vector<PackedTensor>& tensors) : tensors_(tensors) {}

  absl::Span<std::uint8_t> Bytes(std::string_view suffix) {
    for (PackedTensor& tensor : tensors_) {
      if (absl::EndsWith(tensor.info.name, absl::string_view(suffix.data(), suffix.size()))) {
        return {reinterpret_cast<std::uint8_t*>(tensor.bytes.data()), tensor.bytes.size()};
      }
    }
    GPTVQ_CHECK(false && "no tensor of that suffix");
    return {};
  }

  template <typename T>
  void Fill(std::string_view suffix, const std::vector<T>& values) {
    const absl::Span<std::uint8_t> bytes = Bytes(suffix);
    GPTVQ_CHECK(bytes.size() == values.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  }

  // `codes` are rows of `count` codes.
  void FillBits(std::string_view suffix, const std::vector<std::uint8_t>& codes, std::int64_t count, int bits) {
    const absl::Span<std::uint8_t> bytes = Bytes(suffix);
    const std::int64_t row_bytes = PackedRowBytes(count, bits);
    for (std::int64_t r = 0; r * count < static_cast<std::int64_t>(codes.size()); ++r) {
      PackBits({codes.data() + r * count, static_cast<std::size_t>(count)}, bits,
               bytes.subspan(r * row_bytes, row_bytes));
    }
  }

 private:
  std::vector<PackedTensor>& tensors_;
};

// Read access to the same.
class TensorSource {
 public:
  explicit TensorSource(absl::Span<const PackedTensor> tensors) : tensors_(tensors) {}

  const PackedTensor& Tensor(std::string_view suffix) const {
    for (const PackedTensor& tensor : tensors_) {
      if (absl::EndsWith(tensor.info.name, absl::string_view(suffix.data(), suffix.size()))) return tensor;
    }
    GPTVQ_CHECK(false && "no tensor of that suffix");
    return tensors_.front();
  }

  absl::Span<const std::uint8_t> Bytes(std::string_view suffix) const {
    const PackedTensor& tensor = Tensor(suffix);
    return {reinterpret_cast<const std::uint8_t*>(tensor.bytes.data()), tensor.bytes.size()};
  }

  template <typename T>
  std::vector<T> Values(std::string_view suffix) const {
    const absl::Span<const std::uint8_t> bytes = Bytes(suffix);
    std::vector<T> values(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

  // The bits behind a run of `count` codes at `offset` must be zero.
  absl::Status CheckPadding(std::string_view suffix, std::int64_t offset, std::int64_t count, int bits) const {
    const std::int64_t bytes = PackedRowBytes(count, bits);
    if (PaddingIsZero(Bytes(suffix).subspan(offset, bytes), count, bits)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("tensor '", Tensor(suffix).info.name, "': padding bits of byte ",
                                                   offset + bytes - 1, " are not zero"));
  }

  // Rows of `count` codes each.
  absl::StatusOr<std::vector<std::uint8_t>> UnpackRows(std::string_view suffix, std::int64_t rows, std::int64_t count,
                                                       int bits) const {
    std::vector<std::uint8_t> codes(rows * count);
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t offset = r * PackedRowBytes(count, bits);
      GPTVQ_RETURN_IF_ERROR(CheckPadding(suffix, offset, count, bits));
      UnpackBits(Bytes(suffix).subspan(offset, PackedRowBytes(count, bits)), bits,
                 {codes.data() + r * count, static_cast<std::size_t>(count)});
    }
    return codes;
  }

 private:
  absl::Span<const PackedTensor> tensors_;
};

// Packed already; the bits behind the last index of every stripe must be zero.
absl::Status TakeIndices(const TensorSource& source, VectorQuantizedLinear& linear) {
  std::int64_t offset = 0;
  for (std::int64_t r = 0; r < linear.layout.rows(); ++r) {
    for (const Stripe& stripe : linear.layout.stripes()) {
      const std::int64_t count = stripe.column_count / linear.vector_dim;
      GPTVQ_RETURN_IF_ERROR(source.CheckPadding(kIndicesSuffix, offset, count, linear.index_bits));
      offset += PackedRowBytes(count, linear.index_bits);
    }
  }
  linear.packed_indices = source.Values<std::uint8_t>(kIndicesSuffix);
  return absl::OkStatus();
}

struct CodebookPacker {
  TensorFiller& filler;

  void operator()(const Int8Codebooks& codebooks) const {
    filler.Fill(kCodebooksSuffix, codebooks.codes);
    std::vector<std::uint16_t> scales(codebooks.scales.size());
    std::transform(codebooks.scales.begin(), codebooks.scales.end(), scales.begin(), FloatToBf16);
    filler.Fill(kCodebookScalesSuffix, scales);
  }
  void operator()(const Fp16Codebooks& codebooks) const { filler.Fill(kCodebooksSuffix, codebooks.entries); }
  void operator()(const SvdCodebooks& codebooks) const {
    filler.Fill(kSvdCodesSuffix, codebooks.codes);
    filler.Fill(kSvdBasisSuffix, codebooks.basis);
  }
};

void UnpackCodebooks(const TensorSource& source, const VectorLayout& layout, VectorQuantizedLinear& linear) {
  switch (layout.codebook) {
    case CodebookKind::kInt8: {
      const std::vector<std::uint16_t> bits = source.Values<std::uint16_t>(kCodebookScalesSuffix);
      std::vector<float> scales(bits.size());
      std::transform(bits.begin(), bits.end(), scales.begin(), Bf16ToFloat);
      linear.codebooks = Int8Codebooks{source.Values<std::int8_t>(kCodebooksSuffix), std::move(scales)};
      return;
    }
    case CodebookKind::kFp16: linear.codebooks = Fp16Codebooks{source.Values<std::uint16_t>(kCodebooksSuffix)}; return;
    case CodebookKind::kSvd:
      linear.codebooks = SvdCodebooks{layout.svd_rank, source.Values<std::int8_t>(kSvdCodesSuffix),
                                      source.Values<float>(kSvdBasisSuffix)};
      return;
  }
}

absl::Status UnpackBlockScales(const TensorSource& source, const VectorLayout& layout, VectorQuantizedLinear& linear) {
  if (layout.block_scale_columns == 0) return absl::OkStatus();
  BlockScales& scales = linear.block_scales;
  scales.block_columns = layout.block_scale_columns;
  const std::int64_t blocks = scales.block_count(linear.layout.cols());
  GPTVQ_ASSIGN_OR_RETURN(scales.codes,
                         source.UnpackRows(kBlockScalesSuffix, linear.layout.rows(), blocks, kBlockScaleBits));
  const std::vector<float> params = source.Values<float>(kBlockScaleParamsSuffix);
  for (std::int64_t b = 0; b < blocks; ++b) {
    scales.offsets.push_back(params[2 * b]);
    scales.steps.push_back(params[2 * b + 1]);
  }
  return absl::OkStatus();
}

// Whether `linear` has the shape and layout of `module`: index of the codebook alternative, ranks and sizes.
absl::Status CheckGeometry(const PackedModule& module, const VectorQuantizedLinear& linear) {
  const auto* layout = std::get_if<VectorLayout>(&module.layout);
  if (layout == nullptr) return absl::InvalidArgumentError("the linear is vector-quantized, its layout is uniform");
  GPTVQ_ASSIGN_OR_RETURN(const GroupLayout groups, GroupLayout::Make(module.rows, module.cols, GeometrySpec(*layout)));
  const auto* svd = std::get_if<SvdCodebooks>(&linear.codebooks);
  const CodebookKind kind = std::holds_alternative<Int8Codebooks>(linear.codebooks)   ? CodebookKind::kInt8
                            : std::holds_alternative<Fp16Codebooks>(linear.codebooks) ? CodebookKind::kFp16
                                                                                      : CodebookKind::kSvd;
  if (linear.layout != groups || linear.vector_dim != layout->vector_dim || linear.index_bits != layout->index_bits ||
      kind != layout->codebook || (svd != nullptr && svd->rank != layout->svd_rank) ||
      linear.block_scales.block_columns != layout->block_scale_columns) {
    return absl::InvalidArgumentError("the linear does not have the geometry of its layout");
  }
  return absl::OkStatus();
}

absl::Status CheckGeometry(const PackedModule& module, const UniformQuantizedLinear& linear) {
  const auto* layout = std::get_if<UniformLayout>(&module.layout);
  if (layout == nullptr) return absl::InvalidArgumentError("the linear is uniform, its layout is of vectors");
  if (linear.rows != module.rows || linear.cols != module.cols || linear.bits != layout->bits ||
      linear.group_columns != layout->group_columns || linear.permutation.empty() == layout->permuted) {
    return absl::InvalidArgumentError("the linear does not have the geometry of its layout");
  }
  return absl::OkStatus();
}

void Fill(const VectorQuantizedLinear& linear, TensorFiller filler) {
  filler.Fill(kIndicesSuffix, linear.packed_indices);
  std::visit(CodebookPacker{filler}, linear.codebooks);
  const BlockScales& scales = linear.block_scales;
  if (scales.block_columns == 0) return;
  const std::int64_t blocks = scales.block_count(linear.layout.cols());
  filler.FillBits(kBlockScalesSuffix, scales.codes, blocks, kBlockScaleBits);
  std::vector<float> params;
  for (std::int64_t b = 0; b < blocks; ++b) {
    params.push_back(scales.offsets[b]);
    params.push_back(scales.steps[b]);
  }
  filler.Fill(kBlockScaleParamsSuffix, params);
}

void Fill(const UniformQuantizedLinear& linear, TensorFiller filler) {
  filler.FillBits(kUniformCodesSuffix, linear.codes, linear.cols, linear.bits);
  filler.Fill(kUniformScalesSuffix, linear.scales);
  filler.FillBits(kUniformZeroPointsSuffix, linear.zero_points, linear.groups_per_row(), linear.bits);
  if (!linear.permutation.empty()) filler.Fill(kUniformPermutationSuffix, linear.permutation);
}

absl::StatusOr<QuantizedLinear> Unpack(const PackedModule& module, const VectorLayout& layout,
                                       const TensorSource& source) {
  VectorQuantizedLinear linear;
  GPTVQ_ASSIGN_OR_RETURN(linear.layout, GroupLayout::Make(module.rows, module.cols, GeometrySpec(layout)));
  linear.vector_dim = layout.vector_dim;
  linear.index_bits = layout.index_bits;
  GPTVQ_RETURN_IF_ERROR(TakeIndices(source, linear));
  UnpackCodebooks(source, layout, linear);
  GPTVQ_RETURN_IF_ERROR(UnpackBlockScales(source, layout, linear));
  return linear;
}

absl::StatusOr<QuantizedLinear> Unpack(const PackedModule& module, const UniformLayout& layout,
                                       const TensorSource& source) {
  UniformQuantizedLinear linear{.rows = module.rows,
                                .cols = module.cols,
                                .bits = layout.bits,
                                .group_columns = layout.group_columns,
                                .codes = {},
                                .scales = source.Values<std::uint16_t>(kUniformScalesSuffix),
                                .zero_points = {},
                                .permutation = {}};
  GPTVQ_ASSIGN_OR_RETURN(linear.codes, source.UnpackRows(kUniformCodesSuffix, linear.rows, linear.cols, linear.bits));
  GPTVQ_ASSIGN_OR_RETURN(linear.zero_points, source.UnpackRows(kUniformZeroPointsSuffix, linear.rows,
                                                               linear.groups_per_row(), linear.bits));
  if (layout.permuted) linear.permutation = source.Values<std::int32_t>(kUniformPermutationSuffix);
  return linear;
}

}  // namespace

absl::StatusOr<std::vector<PackedTensor>> PackLinear(const PackedModule& module, const QuantizedLinear& linear) {
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<TensorInfo> infos, PackedTensorInfos(module));
  const auto check = [&module](const auto& alternative) { return CheckGeometry(module, alternative); };
  GPTVQ_RETURN_IF_ERROR(WithContext(std::visit(check, linear), module.name));
  GPTVQ_RETURN_IF_ERROR(WithContext(ValidateQuantizedLinear(linear), module.name));
  std::vector<PackedTensor> tensors;
  for (const TensorInfo& info : infos) tensors.push_back({info, std::vector<std::byte>(info.byte_count())});
  std::visit([&tensors](const auto& alternative) { Fill(alternative, TensorFiller(tensors)); }, linear);
  return tensors;
}

absl::StatusOr<QuantizedLinear> UnpackLinear(const PackedModule& module, absl::Span<const PackedTensor> tensors) {
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<TensorInfo> infos, PackedTensorInfos(module));
  const bool matches = std::equal(infos.begin(), infos.end(), tensors.begin(), tensors.end(),
                                  [](const TensorInfo& info, const PackedTensor& tensor) {
                                    return tensor.info == info && tensor.bytes.size() == info.byte_count();
                                  });
  if (!matches) return absl::InvalidArgumentError(absl::StrCat(module.name, ": not the tensors of its layout"));
  const TensorSource source(tensors);
  GPTVQ_ASSIGN_OR_RETURN(QuantizedLinear linear,
                         std::visit([&](const auto& layout) { return Unpack(module, layout, source); }, module.layout));
  GPTVQ_RETURN_IF_ERROR(WithContext(ValidateQuantizedLinear(linear), module.name));
  return linear;
}

}  // namespace gptvq

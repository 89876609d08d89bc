#include "core/spec/quantized_linear.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/dtype.h"
#include "core/base/status_macros.h"
#include "core/spec/bit_packing.h"

namespace gptvq {
namespace {

template <typename T>
absl::Status CheckLength(const char* array, const std::vector<T>& values, std::int64_t expected) {
  if (static_cast<std::int64_t>(values.size()) == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(array, " holds ", values.size(), " values instead of ", expected));
}

absl::Status CheckBelow(const char* array, const std::vector<std::uint8_t>& values, int bound) {
  const auto bad = std::find_if(values.begin(), values.end(), [bound](std::uint8_t v) { return v >= bound; });
  if (bad == values.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(array, "[", bad - values.begin(), "] is ", static_cast<int>(*bad), ", not below ", bound));
}

template <typename T, typename Decode>
absl::Status CheckFinite(const char* array, const std::vector<T>& values, Decode decode) {
  const auto bad = std::find_if(values.begin(), values.end(), [&](T v) { return !std::isfinite(decode(v)); });
  if (bad == values.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(array, "[", bad - values.begin(), "] is not finite"));
}

absl::Status CheckFinite(const char* array, const std::vector<float>& values) {
  return CheckFinite(array, values, [](float v) { return v; });
}

struct CodebookValidator {
  std::int64_t group_count;
  std::int64_t centroid_count;
  std::int64_t vector_dim;

  absl::Status operator()(const Int8Codebooks& codebooks) const {
    GPTVQ_RETURN_IF_ERROR(CheckLength("codebook codes", codebooks.codes, group_count * centroid_count * vector_dim));
    GPTVQ_RETURN_IF_ERROR(CheckLength("codebook scales", codebooks.scales, group_count));
    for (float scale : codebooks.scales) {
      if (!std::isfinite(scale) || scale < 0 || Bf16ToFloat(FloatToBf16(scale)) != scale) {
        return absl::InvalidArgumentError(absl::StrCat("codebook scale ", scale, " is not a BF16 value from 0 on"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status operator()(const Fp16Codebooks& codebooks) const {
    GPTVQ_RETURN_IF_ERROR(
        CheckLength("codebook entries", codebooks.entries, group_count * centroid_count * vector_dim));
    return CheckFinite("codebook entries", codebooks.entries, HalfToFloat);
  }

  absl::Status operator()(const SvdCodebooks& codebooks) const {
    if (vector_dim != 1) return absl::InvalidArgumentError("SVD codebooks need vectors of one weight");
    if (codebooks.rank < 1 || codebooks.rank > centroid_count) {
      return absl::InvalidArgumentError(absl::StrCat("SVD rank ", codebooks.rank, " is not in 1..", centroid_count));
    }
    GPTVQ_RETURN_IF_ERROR(CheckLength("SVD codes", codebooks.codes, group_count * codebooks.rank));
    GPTVQ_RETURN_IF_ERROR(CheckLength("SVD basis", codebooks.basis, codebooks.rank * centroid_count));
    return CheckFinite("SVD basis", codebooks.basis);
  }
};

// Calls body(first vector, vectors, first byte, bytes) for every run of indices, in order of rows and stripes: vectors and
// bytes lie densely.
void ForEachRun(const VectorQuantizedLinear& linear,
                absl::FunctionRef<void(std::int64_t, std::int64_t, std::int64_t, std::int64_t)> body) {
  std::int64_t vector = 0, byte = 0;
  for (std::int64_t r = 0; r < linear.layout.rows(); ++r) {
    for (const Stripe& stripe : linear.layout.stripes()) {
      const std::int64_t vectors = stripe.column_count / linear.vector_dim;
      const std::int64_t bytes = PackedRowBytes(vectors, linear.index_bits);
      body(vector, vectors, byte, bytes);
      vector += vectors;
      byte += bytes;
    }
  }
}

absl::Status CheckIndices(const VectorQuantizedLinear& linear) {
  const std::vector<std::uint8_t>& packed = linear.packed_indices;
  GPTVQ_RETURN_IF_ERROR(
      CheckLength("packed indices", packed,
                  linear.layout.rows() * PackedIndexRowBytes(linear.layout, linear.vector_dim, linear.index_bits)));
  absl::Status status;
  ForEachRun(linear, [&](std::int64_t, std::int64_t vectors, std::int64_t byte, std::int64_t bytes) {
    if (!status.ok() || PaddingIsZero(absl::MakeConstSpan(packed).subspan(byte, bytes), vectors, linear.index_bits))
      return;
    status = absl::InvalidArgumentError(
        absl::StrCat("packed indices: padding bits of byte ", byte + bytes - 1, " are not zero"));
  });
  return status;
}

struct LinearValidator {
  absl::Status operator()(const VectorQuantizedLinear& linear) const {
    const std::int64_t rows = linear.layout.rows();
    const std::int64_t cols = linear.layout.cols();
    if (linear.vector_dim < 1 || linear.index_bits < 1 || linear.index_bits > 8 || cols % linear.vector_dim != 0) {
      return absl::InvalidArgumentError(absl::StrCat("vector dimension ", linear.vector_dim, " and ", linear.index_bits,
                                                     " index bits do not fit ", cols, " columns"));
    }
    GPTVQ_RETURN_IF_ERROR(CheckIndices(linear));
    GPTVQ_RETURN_IF_ERROR(std::visit(
        CodebookValidator{linear.layout.group_count(), 1 << linear.index_bits, linear.vector_dim}, linear.codebooks));
    const BlockScales& scales = linear.block_scales;
    const std::int64_t blocks = scales.block_count(cols);
    GPTVQ_RETURN_IF_ERROR(CheckLength("block scale codes", scales.codes, rows * blocks));
    GPTVQ_RETURN_IF_ERROR(CheckBelow("block scale codes", scales.codes, 16));
    GPTVQ_RETURN_IF_ERROR(CheckLength("block scale offsets", scales.offsets, blocks));
    GPTVQ_RETURN_IF_ERROR(CheckLength("block scale steps", scales.steps, blocks));
    GPTVQ_RETURN_IF_ERROR(CheckFinite("block scale offsets", scales.offsets));
    return CheckFinite("block scale steps", scales.steps);
  }

  absl::Status operator()(const UniformQuantizedLinear& linear) const {
    if (linear.rows <= 0 || linear.cols <= 0 || linear.bits < 1 || linear.bits > 8 || linear.group_columns < 1) {
      return absl::InvalidArgumentError("uniform linear without a size");
    }
    const std::int64_t scale_count = linear.rows * linear.groups_per_row();
    GPTVQ_RETURN_IF_ERROR(CheckLength("codes", linear.codes, linear.rows * linear.cols));
    GPTVQ_RETURN_IF_ERROR(CheckBelow("codes", linear.codes, 1 << linear.bits));
    GPTVQ_RETURN_IF_ERROR(CheckLength("scales", linear.scales, scale_count));
    GPTVQ_RETURN_IF_ERROR(CheckFinite("scales", linear.scales, HalfToFloat));
    GPTVQ_RETURN_IF_ERROR(CheckLength("zero points", linear.zero_points, scale_count));
    GPTVQ_RETURN_IF_ERROR(CheckBelow("zero points", linear.zero_points, 1 << linear.bits));
    if (linear.permutation.empty()) return absl::OkStatus();
    GPTVQ_RETURN_IF_ERROR(CheckLength("permutation", linear.permutation, linear.cols));
    std::vector<bool> seen(linear.cols, false);
    for (std::int32_t column : linear.permutation) {
      if (column < 0 || column >= linear.cols || seen[column]) {
        return absl::InvalidArgumentError(absl::StrCat("permutation names column ", column, " wrongly or twice"));
      }
      seen[column] = true;
    }
    return absl::OkStatus();
  }
};

struct CodebookDecoder {
  std::int64_t group_count;
  std::int64_t centroid_count;

  std::vector<float> operator()(const Int8Codebooks& codebooks) const {
    std::vector<float> entries(codebooks.codes.size());
    const std::int64_t per_group = group_count == 0 ? 0 : entries.size() / group_count;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      entries[i] = static_cast<float>(codebooks.codes[i]) * codebooks.scales[i / per_group];
    }
    return entries;
  }

  std::vector<float> operator()(const Fp16Codebooks& codebooks) const {
    std::vector<float> entries(codebooks.entries.size());
    std::transform(codebooks.entries.begin(), codebooks.entries.end(), entries.begin(), HalfToFloat);
    return entries;
  }

  std::vector<float> operator()(const SvdCodebooks& codebooks) const {
    std::vector<float> entries(group_count * centroid_count);
    for (std::int64_t g = 0; g < group_count; ++g) {
      for (std::int64_t k = 0; k < centroid_count; ++k) {
        float sum = 0;
        for (int j = 0; j < codebooks.rank; ++j) {
          sum += static_cast<float>(codebooks.codes[g * codebooks.rank + j]) * codebooks.basis[j * centroid_count + k];
        }
        entries[g * centroid_count + k] = sum;
      }
    }
    return entries;
  }
};

float BlockScale(const BlockScales& scales, std::int64_t block_count, std::int64_t row, std::int64_t block) {
  return std::exp2(scales.offsets[block] + scales.steps[block] * scales.codes[row * block_count + block]);
}

struct Dequantizer {
  MatrixView<float> weights_out;

  void operator()(const VectorQuantizedLinear& linear) const {
    const GroupLayout& layout = linear.layout;
    const std::int64_t d = linear.vector_dim;
    const std::int64_t entries_per_codebook = d << linear.index_bits;
    const std::int64_t vectors_per_row = layout.cols() / d;
    const std::vector<float> codebooks = linear.DecodedCodebooks();
    const std::vector<std::uint8_t> assignments = linear.Assignments();
    const std::int64_t block_count = linear.block_scales.block_count(layout.cols());
    for (const Stripe& stripe : layout.stripes()) {
      for (std::int64_t block = 0; block < stripe.row_block_count; ++block) {
        const float* codebook = codebooks.data() + (stripe.first_group + block) * entries_per_codebook;
        for (std::int64_t r = layout.RowBlockBegin(stripe, block); r < layout.RowBlockBegin(stripe, block + 1); ++r) {
          for (std::int64_t i = 0; i < stripe.column_count; ++i) {
            const std::int64_t c = stripe.column_begin + i;
            const std::int64_t centroid = assignments[r * vectors_per_row + c / d];
            const float scale = block_count == 0 ? 1.0f
                                                 : BlockScale(linear.block_scales, block_count, r,
                                                              c / linear.block_scales.block_columns);
            weights_out.at(r, c) = scale * codebook[centroid * d + c % d];
          }
        }
      }
    }
  }

  void operator()(const UniformQuantizedLinear& linear) const {
    for (std::int64_t r = 0; r < linear.rows; ++r) {
      for (std::int64_t i = 0; i < linear.cols; ++i) {
        const std::int64_t group = r * linear.groups_per_row() + i / linear.group_columns;
        const int level = int{linear.codes[r * linear.cols + i]} - int{linear.zero_points[group]};
        const std::int64_t column = linear.permutation.empty() ? i : linear.permutation[i];
        weights_out.at(r, column) = HalfToFloat(linear.scales[group]) * static_cast<float>(level);
      }
    }
  }
};

}  // namespace

std::vector<float> VectorQuantizedLinear::DecodedCodebooks() const {
  return std::visit(CodebookDecoder{layout.group_count(), std::int64_t{1} << index_bits}, codebooks);
}

std::vector<std::uint8_t> VectorQuantizedLinear::Assignments() const {
  std::vector<std::uint8_t> assignments(static_cast<std::size_t>(layout.rows() * (layout.cols() / vector_dim)));
  ForEachRun(*this, [&](std::int64_t vector, std::int64_t vectors, std::int64_t byte, std::int64_t bytes) {
    UnpackBits(absl::MakeConstSpan(packed_indices).subspan(byte, bytes), index_bits,
               absl::MakeSpan(assignments).subspan(vector, vectors));
  });
  return assignments;
}

void VectorQuantizedLinear::SetAssignments(absl::Span<const std::uint8_t> assignments) {
  GPTVQ_CHECK(std::ssize(assignments) == layout.rows() * (layout.cols() / vector_dim));
  packed_indices.resize(static_cast<std::size_t>(layout.rows() * PackedIndexRowBytes(layout, vector_dim, index_bits)));
  ForEachRun(*this, [&](std::int64_t vector, std::int64_t vectors, std::int64_t byte, std::int64_t bytes) {
    PackBits(assignments.subspan(vector, vectors), index_bits, absl::MakeSpan(packed_indices).subspan(byte, bytes));
  });
}

std::int64_t RowCount(const QuantizedLinear& linear) {
  const auto* vector = std::get_if<VectorQuantizedLinear>(&linear);
  return vector != nullptr ? vector->layout.rows() : std::get<UniformQuantizedLinear>(linear).rows;
}

std::int64_t ColumnCount(const QuantizedLinear& linear) {
  const auto* vector = std::get_if<VectorQuantizedLinear>(&linear);
  return vector != nullptr ? vector->layout.cols() : std::get<UniformQuantizedLinear>(linear).cols;
}

absl::Status ValidateQuantizedLinear(const QuantizedLinear& linear) { return std::visit(LinearValidator{}, linear); }

void Dequantize(const QuantizedLinear& linear, MatrixView<float> weights_out) {
  GPTVQ_CHECK(weights_out.rows == RowCount(linear) && weights_out.cols == ColumnCount(linear));
  std::visit(Dequantizer{weights_out}, linear);
}

}  // namespace gptvq

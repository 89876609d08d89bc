#include "core/backend/quant_checks.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/backend/hessian_panels.h"
#include "core/backend/require.h"
#include "core/base/status_macros.h"
#include "core/spec/bit_packing.h"

namespace gptvq {
namespace {

std::int64_t BlockCount(std::int64_t cols, std::int64_t block_columns) {
  return (cols + block_columns - 1) / block_columns;
}

// The geometry of the code itself, and of the codebooks and assignments that go with it.
absl::Status CheckCode(std::string_view operation, const VectorCode& code) {
  GPTVQ_RETURN_IF_ERROR(Require(code.layout != nullptr, operation, "the code has a layout"));
  GPTVQ_RETURN_IF_ERROR(Require(code.vector_dim == 1 || code.vector_dim == 2 || code.vector_dim == 4, operation,
                                "the vector dimension is 1, 2 or 4"));
  GPTVQ_RETURN_IF_ERROR(Require(code.index_bits >= 1 && code.index_bits <= 8, operation, "an index has 1 to 8 bits"));
  if (code.block_scale_columns == 0) {
    return Require(code.block_scales.data == nullptr, operation,
                   "without block scale columns there are no block scales");
  }
  GPTVQ_RETURN_IF_ERROR(Require(code.block_scale_columns > 0 && code.block_scale_columns % code.vector_dim == 0,
                                operation, "a block scale covers whole vectors"));
  return Require(
      HasShape(code.block_scales, code.layout->rows(), BlockCount(code.layout->cols(), code.block_scale_columns)),
      operation, "there is a block scale per row and block of columns");
}

absl::Status CheckCodebooks(std::string_view operation, const VectorCode& code, ConstCodebooks codebooks) {
  return Require(
      HasShape(codebooks, code.layout->group_count(), (std::int64_t{1} << code.index_bits) * code.vector_dim),
      operation, "there is a row of K * d codebook entries per group");
}

absl::Status CheckAssignments(std::string_view operation, const VectorCode& code, ConstAssignments assignments) {
  return Require(HasShape(assignments, code.layout->rows(), code.layout->cols() / code.vector_dim), operation,
                 "there is an assignment per vector");
}

// Columns [begin, begin + count) of the linear are whole vectors.
absl::Status CheckColumns(std::string_view operation, const VectorCode& code, std::int64_t begin, std::int64_t count) {
  return Require(begin >= 0 && begin + count <= code.layout->cols() && begin % code.vector_dim == 0 &&
                     count % code.vector_dim == 0,
                 operation, "the block is whole vectors inside the linear");
}

}  // namespace

absl::Status CheckAccumulateHessian(DType dtype, ConstTensorView x, MatrixView<const float> h) {
  GPTVQ_RETURN_IF_ERROR(Require(x.dtype == dtype, "AccumulateHessian", "x has the backend's activation dtype"));
  return Require(HasShape(h, x.cols, x.cols), "AccumulateHessian", "h is square with a row per column of x");
}

absl::Status CheckAccumulateHessianPanels(DType dtype, ConstTensorView x, absl::Span<const IndexRange> panels,
                                          MatrixView<const float> h) {
  GPTVQ_RETURN_IF_ERROR(CheckAccumulateHessian(dtype, x, h));
  const std::vector<IndexRange> all = HessianPanels(h.cols);
  const bool known = std::all_of(panels.begin(), panels.end(), [&](const IndexRange& panel) {
    return std::find(all.begin(), all.end(), panel) != all.end();
  });
  return Require(known, "AccumulateHessianPanels", "every panel is one of HessianPanels");
}

absl::Status CheckSquare(std::string_view operation, MatrixView<const float> h) {
  return Require(h.rows == h.cols, operation, "the matrix is square");
}

absl::Status CheckNormalizeBlockColumns(MatrixView<const float> v, int vector_dim, MatrixView<const float> m) {
  GPTVQ_RETURN_IF_ERROR(Require(vector_dim == 1 || vector_dim == 2 || vector_dim == 4, "NormalizeBlockColumns",
                                "the vector dimension is 1, 2 or 4"));
  return Require(v.rows == v.cols && SameShape(v, m) && v.cols % vector_dim == 0, "NormalizeBlockColumns",
                 "v and m are square, of one shape, and whole vectors wide");
}

absl::Status CheckMatMul(MatrixView<const float> a, Transpose transpose_a, MatrixView<const float> b,
                         Transpose transpose_b, MatrixView<const float> c) {
  const std::int64_t a_rows = transpose_a == Transpose::kNo ? a.rows : a.cols;
  const std::int64_t a_cols = transpose_a == Transpose::kNo ? a.cols : a.rows;
  const std::int64_t b_rows = transpose_b == Transpose::kNo ? b.rows : b.cols;
  const std::int64_t b_cols = transpose_b == Transpose::kNo ? b.cols : b.rows;
  return Require(a_cols == b_rows && HasShape(c, a_rows, b_cols), "MatMul", "the shapes of op(a), op(b) and c fit");
}

absl::Status CheckRowDots(MatrixView<const float> a, MatrixView<const float> b, absl::Span<const double> dots) {
  return Require(SameShape(a, b) && static_cast<std::int64_t>(dots.size()) == a.rows, "RowDots",
                 "a and b have the same shape and there is a result per row");
}

absl::Status CheckBlockAbsMax(MatrixView<const float> x, int block_columns, MatrixView<const float> maxima) {
  return Require(block_columns > 0 && HasShape(maxima, x.rows, BlockCount(x.cols, block_columns)), "BlockAbsMax",
                 "there is a result per row and block of columns");
}

absl::Status CheckClusterStripe(const VectorCode& code, const Stripe& stripe, MatrixView<const float> x,
                                absl::Span<const float> column_weights, ConstCodebooks codebooks) {
  constexpr std::string_view kName = "ClusterStripe";
  GPTVQ_RETURN_IF_ERROR(CheckCode(kName, code));
  GPTVQ_RETURN_IF_ERROR(CheckCodebooks(kName, code, codebooks));
  GPTVQ_RETURN_IF_ERROR(CheckColumns(kName, code, stripe.column_begin, stripe.column_count));
  GPTVQ_RETURN_IF_ERROR(Require(stripe.row_block_count > 0 && stripe.first_group >= 0 &&
                                    stripe.first_group + stripe.row_block_count <= codebooks.rows,
                                kName, "the stripe's groups are groups of the layout"));
  GPTVQ_RETURN_IF_ERROR(Require(HasShape(x, code.layout->rows(), stripe.column_count), kName,
                                "x has the rows of the linear and the columns of the stripe"));
  return Require(static_cast<std::int64_t>(column_weights.size()) == stripe.column_count, kName,
                 "there is a weight per column of the stripe");
}

absl::Status CheckSweepColumns(const VectorCode& code, ConstCodebooks codebooks, const SweepBlock& block,
                               ConstAssignments assignments) {
  constexpr std::string_view kName = "SweepColumns";
  GPTVQ_RETURN_IF_ERROR(CheckCode(kName, code));
  GPTVQ_RETURN_IF_ERROR(CheckCodebooks(kName, code, codebooks));
  GPTVQ_RETURN_IF_ERROR(CheckAssignments(kName, code, assignments));
  const std::int64_t width = block.target.cols;
  GPTVQ_RETURN_IF_ERROR(CheckColumns(kName, code, block.column_begin, width));
  GPTVQ_RETURN_IF_ERROR(Require(block.target.rows == code.layout->rows() && SameShape(block.weights, block.target) &&
                                    SameShape(block.error_out, block.target),
                                kName, "weights, target and error have the rows of the linear and one width"));
  return Require(HasShape(block.feedback, width, width) && HasShape(block.metric_factor, width, width), kName,
                 "feedback and metric factor are square, as wide as the block");
}

absl::Status CheckSweepUniformColumns(const UniformSweepBlock& block) {
  constexpr std::string_view kName = "SweepUniformColumns";
  const std::int64_t width = block.target.cols;
  GPTVQ_RETURN_IF_ERROR(Require(block.bits >= 2 && block.bits <= 8, kName, "a code has 2 to 8 bits"));
  GPTVQ_RETURN_IF_ERROR(Require(block.group_columns > 0, kName, "a group has columns"));
  GPTVQ_RETURN_IF_ERROR(Require(SameShape(block.weights, block.target) && SameShape(block.grid_weights, block.target) &&
                                    SameShape(block.error_out, block.target) &&
                                    SameShape(block.codes_out, block.target),
                                kName, "weights, target, grid weights, error and codes have one shape"));
  GPTVQ_RETURN_IF_ERROR(Require(block.feedback.data == nullptr || HasShape(block.feedback, width, width), kName,
                                "feedback is absent or square, as wide as the block"));
  const std::int64_t groups = BlockCount(width, block.group_columns);
  return Require(HasShape(block.scales_out, block.target.rows, groups) &&
                     HasShape(block.zero_points_out, block.target.rows, groups),
                 kName, "there is a scale and a zero point per row and group");
}

absl::Status CheckRefineColumns(const VectorCode& code, ConstCodebooks codebooks, const RefineBlock& block,
                                ConstAssignments assignments) {
  constexpr std::string_view kName = "RefineColumns";
  GPTVQ_RETURN_IF_ERROR(CheckCode(kName, code));
  GPTVQ_RETURN_IF_ERROR(CheckCodebooks(kName, code, codebooks));
  GPTVQ_RETURN_IF_ERROR(CheckAssignments(kName, code, assignments));
  const std::int64_t width = block.gradient.cols;
  GPTVQ_RETURN_IF_ERROR(CheckColumns(kName, code, block.column_begin, width));
  GPTVQ_RETURN_IF_ERROR(
      Require(block.gradient.rows == code.layout->rows() && SameShape(block.change_out, block.gradient), kName,
              "gradient and change have the rows of the linear and one width"));
  GPTVQ_RETURN_IF_ERROR(
      Require(block.noise_deviations.empty() || static_cast<std::int64_t>(block.noise_deviations.size()) == width,
              kName, "there is one noise deviation per column of the block, or none"));
  return Require(HasShape(block.hessian, width, width), kName, "the Hessian is square, as wide as the block");
}

absl::Status CheckVectorMatrix(std::string_view operation, const VectorCode& code, ConstCodebooks codebooks,
                               ConstAssignments assignments, MatrixView<const float> x) {
  GPTVQ_RETURN_IF_ERROR(CheckCode(operation, code));
  GPTVQ_RETURN_IF_ERROR(CheckCodebooks(operation, code, codebooks));
  GPTVQ_RETURN_IF_ERROR(CheckAssignments(operation, code, assignments));
  return Require(HasShape(x, code.layout->rows(), code.layout->cols()), operation, "the matrix has the linear's shape");
}

absl::Status CheckAccumulateCentroidWeights(const VectorCode& code, ConstAssignments assignments,
                                            absl::Span<const float> column_weights, ConstCodebooks sums) {
  constexpr std::string_view kName = "AccumulateCentroidWeights";
  GPTVQ_RETURN_IF_ERROR(CheckCode(kName, code));
  GPTVQ_RETURN_IF_ERROR(CheckCodebooks(kName, code, sums));
  GPTVQ_RETURN_IF_ERROR(CheckAssignments(kName, code, assignments));
  return Require(static_cast<std::int64_t>(column_weights.size()) == code.layout->cols(), kName,
                 "there is a weight per column");
}

absl::Status CheckPackedIndices(std::string_view operation, const VectorCode& code, ConstAssignments assignments,
                                ConstPackedIndices packed) {
  GPTVQ_RETURN_IF_ERROR(CheckCode(operation, code));
  GPTVQ_RETURN_IF_ERROR(CheckAssignments(operation, code, assignments));
  return Require(
      HasShape(packed, code.layout->rows(), PackedIndexRowBytes(*code.layout, code.vector_dim, code.index_bits)),
      operation, "packed rows have the bytes of their stripes");
}

}  // namespace gptvq

#ifndef GPTVQ_CORE_BACKEND_QUANT_OPS_H_
#define GPTVQ_CORE_BACKEND_QUANT_OPS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/backend/tensor_view.h"
#include "core/base/index_range.h"
#include "core/base/matrix_view.h"
#include "core/spec/group_layout.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// Letters: R rows, C columns, d vector dimension, K centroids, G groups; P = the d columns of one vector position.
// E = W - Q. All matrices f32 in backend memory, row-major; spans and scalars in host memory.

enum class Transpose { kNo, kYes };

// Codebooks of all groups of a linear: [G, K * d] f32, row g = centroids of group g, centroid-major.
using Codebooks = MatrixView<float>;
using ConstCodebooks = MatrixView<const float>;
// Centroid index of every vector: [R, C / d].
using Assignments = MatrixView<std::uint8_t>;
using ConstAssignments = MatrixView<const std::uint8_t>;
// The same as bits, rows of docs/format.md section 5.1: [R, PackedIndexRowBytes(layout, d, index bits)] (core/spec/bit_packing.h).
using PackedIndices = MatrixView<std::uint8_t>;
using ConstPackedIndices = MatrixView<const std::uint8_t>;

// How vectors are turned into weights: q = scale(row, column) * codebook[group][assignment].
struct VectorCode {
  const GroupLayout* layout = nullptr;  // borrowed, host
  int vector_dim = 0;
  int index_bits = 0;
  // Decoded block scales [R, ceil(C / block_scale_columns)]; block_scale_columns 0 and a null view mean scale 1.
  // Every column of one vector has the same scale.
  MatrixView<const float> block_scales;
  int block_scale_columns = 0;
};

// Distances during EM.
struct EmOptions {
  int max_iterations = 100;  // 0: the seeds are the result
  Seeding seeding = Seeding::kMahalanobis;
  std::uint64_t seed = 0;  // k-means++: Philox(seed, stream + group number)
  std::uint64_t stream = 0;
  Compatibility compatibility = Compatibility::kNone;  // kReference: no early stop, empty cells become the zero vector
};

struct EmResult {
  std::int64_t iterations = 0;  // largest over the groups
  double objective = 0;         // sum of h (x - c)^2 after the last M step's assignment, all groups, f64
};

// One block of B consecutive columns of the column sweep.
struct SweepBlock {
  std::int64_t column_begin = 0;    // of the block, within the linear; a multiple of d
  MatrixView<const float> weights;  // [R, B]: original W. May be the view `target`: then the error of a vector is
                                    // taken against its target at the moment when it is assigned
  MatrixView<float> target;         // [R, B]: in: W + feedback of earlier blocks; updated inside the block
  MatrixView<const float>
      feedback;  // [B, B]: M restricted to the block (core/quant/column_sweep.h); used above the diagonal
  MatrixView<const float> metric_factor;  // [B, B]: V restricted to the block; only its d x d diagonal blocks are read
  MatrixView<float> error_out;            // [R, B]: W - Q
};

// One block of B consecutive columns of a refinement pass.
struct RefineBlock {
  std::int64_t column_begin = 0;
  MatrixView<float> gradient;       // [R, B]: columns of (Q - W) H; updated inside the block, all B columns
  MatrixView<const float> hessian;  // [B, B]: H restricted to the block
  MatrixView<float> change_out;     // [R, B]: Q_new - Q_old
  // Annealing: while a vector is chosen, noise_deviations[i] * AnnealingNoise(NoiseColumnKey(noise_key, i), row) of
  // formulas.h stands added to element i of its gradient. [B], host memory; empty: no noise.
  absl::Span<const float> noise_deviations;
  std::uint32_t noise_key = 0;
  std::int64_t first_row = 0;  // of the block in its linear: what the noise counts rows from
};

// One block of B columns of the uniform sweep; group_columns divides the position of every block.
struct UniformSweepBlock {
  MatrixView<const float> weights;  // as SweepBlock, columns already permuted
  MatrixView<float> target;
  MatrixView<const float> feedback;      // null: no feedback, every weight is rounded by itself
  MatrixView<const float> grid_weights;  // [R, B]: every group's grid spans its row's smallest and largest of these
  MatrixView<float> error_out;
  int bits = 0;
  int group_columns = 0;
  MatrixView<std::uint8_t> codes_out;        // [R, B]
  MatrixView<std::uint16_t> scales_out;      // [R, ceil(B / group_columns)], IEEE half
  MatrixView<std::uint8_t> zero_points_out;  // [R, ceil(B / group_columns)]
};

// The primitives of the quantization recipe; the recipe itself is core/quant and is written once, against this.
// Thread-compatible. Errors: InvalidArgument for shapes that do not fit, Internal for a device error; others where named.
// Determinism: bitwise equal for any thread count and from run to run within one numerics class; sums over rows, columns
// or tokens run in an order fixed by the shapes.
class QuantOps {
 public:
  virtual ~QuantOps() = default;

  // h += x^T x for rows of x [T, C] (activation dtype), upper triangle (row <= column) only; f32 or better accumulation.
  // Rows of x with a NaN or infinity are left out and counted in the result.
  virtual absl::StatusOr<std::int64_t> AccumulateHessian(ConstTensorView x, MatrixView<float> h) = 0;

  // The same for the columns of some panels of HessianPanels(C) alone (core/backend/hessian_panels.h): all panels, in
  // whatever calls, give the bytes of AccumulateHessian.
  virtual absl::StatusOr<std::int64_t> AccumulateHessianPanels(ConstTensorView x, absl::Span<const IndexRange> panels,
                                                               MatrixView<float> h) = 0;

  // Copies the upper triangle onto the lower.
  virtual absl::Status Symmetrize(MatrixView<float> h) = 0;

  // In place: the symmetric positive definite h becomes upper triangular V (zeros below) with h = V V^T: the Cholesky
  // factorisation of the matrix with rows and columns reversed. Only the upper triangle of h is read. Computed in f64
  // where the backend can.
  // Errors: FailedPrecondition when h is not positive definite (its contents are then lost).
  virtual absl::Status ReversedCholesky(MatrixView<float> h) = 0;

  // m_out = V blockdiag(V_PP)^-1 (unit block upper triangular, d x d blocks): the feedback matrix of the block LDL^T form.
  virtual absl::Status NormalizeBlockColumns(MatrixView<const float> v, int vector_dim, MatrixView<float> m_out) = 0;

  // c = alpha op(a) op(b) + beta c; beta 0 ignores what c held.
  virtual absl::Status MatMul(float alpha, MatrixView<const float> a, Transpose transpose_a, MatrixView<const float> b,
                              Transpose transpose_b, float beta, MatrixView<float> c) = 0;

  // c = a b + beta c where a few significant bits will do: the factors may be rounded to bfloat16, which has 8, sums are of f32
  // or better. For what only points out a direction, never for a loss (docs/adr/0013). beta 0 ignores what c held.
  virtual absl::Status CoarseMatMul(MatrixView<const float> a, MatrixView<const float> b, float beta,
                                    MatrixView<float> c) = 0;

  // y = alpha x + beta y, element by element: with alpha 1, beta -1 the error W - Q in the place of Q.
  virtual absl::Status Axpby(float alpha, MatrixView<const float> x, float beta, MatrixView<float> y) = 0;

  // dots_out[r] = sum over c of a(r, c) b(r, c), f64, into host memory: with a = E H and b = E the loss of each row.
  virtual absl::Status RowDots(MatrixView<const float> a, MatrixView<const float> b, absl::Span<double> dots_out) = 0;

  // Largest magnitude of each row's blocks of `block_columns` columns: maxima_out [R, ceil(C / block_columns)].
  virtual absl::Status BlockAbsMax(MatrixView<const float> x, int block_columns, MatrixView<float> maxima_out) = 0;

  // Seeds and runs Hessian-weighted EM for all groups of one stripe (paper section 3.2, algorithm notes in
  // core/quant/em.h). x [R, width]: what to cluster. column_weights: `width` positive numbers in host
  // memory, h of every column. code.block_scales scales apply: EM clusters x / scale with weights h * scale^2.
  // Writes the stripe's rows of `codebooks`.
  virtual absl::StatusOr<EmResult> ClusterStripe(const VectorCode& code, const Stripe& stripe,
                                                 MatrixView<const float> x, absl::Span<const float> column_weights,
                                                 const EmOptions& options, Codebooks codebooks) = 0;

  // Runs one block of the sweep for all rows: for each vector position P left to right: assigns
  // argmin_k ||(target_P - q_k) V_PP||^2 (the smallest k on ties), sets error = weights - q, and adds
  // error_P M[P, later] to the later targets of the block. Writes the block's columns of `assignments`.
  // Returns the sum of the minimal ||.||^2 over all vectors, f64: with M and V of one matrix these add up to tr(E H E^T).
  virtual absl::StatusOr<double> SweepColumns(const VectorCode& code, ConstCodebooks codebooks, const SweepBlock& block,
                                              Assignments assignments) = 0;

  // The same for uniform grids: d = 1, asymmetric min/max grid per row and group, scale stored in half precision.
  virtual absl::Status SweepUniformColumns(const UniformSweepBlock& block) = 0;

  // Coordinate descent over one block: for each vector in order chooses the centroid that minimises tr(E H E^T), as far
  // as its gradient (with the noise) tells, with all others fixed (the present one on ties), and updates the block's
  // gradient, without the noise.
  // Returns the number of vectors that changed.
  virtual absl::StatusOr<std::int64_t> RefineColumns(const VectorCode& code, ConstCodebooks codebooks,
                                                     const RefineBlock& block, Assignments assignments) = 0;

  // q_out [R, C] = dequantized weights.
  virtual absl::Status DecodeVectors(const VectorCode& code, ConstCodebooks codebooks, ConstAssignments assignments,
                                     MatrixView<float> q_out) = 0;

  // The adjoint of DecodeVectors: sums_out [G, K * d] = for each group, centroid and component the sum of
  // scale * x over the vectors assigned to it. x [R, C].
  virtual absl::Status AccumulateCentroidSums(const VectorCode& code, ConstAssignments assignments,
                                              MatrixView<const float> x, Codebooks sums_out) = 0;

  // As above with x(row, column) = scale * column_weights[column]: the diagonal of the normal equations.
  virtual absl::Status AccumulateCentroidWeights(const VectorCode& code, ConstAssignments assignments,
                                                 absl::Span<const float> column_weights, Codebooks sums_out) = 0;

  // The bytes that the packed format stores for `assignments`, each of which is < K; bits of padding become 0. Of the code only the
  // layout, d and the bits of an index count, here and below.
  virtual absl::Status PackAssignments(const VectorCode& code, ConstAssignments assignments,
                                       PackedIndices packed_out) = 0;

  // The inverse.
  virtual absl::Status UnpackAssignments(const VectorCode& code, ConstPackedIndices packed,
                                         Assignments assignments_out) = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_QUANT_OPS_H_

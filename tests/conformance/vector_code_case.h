#ifndef GPTVQ_TESTS_CONFORMANCE_VECTOR_CODE_CASE_H_
#define GPTVQ_TESTS_CONFORMANCE_VECTOR_CODE_CASE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/backend/quant_ops.h"
#include "core/spec/group_layout.h"
#include "tests/conformance/guarded_matrix.h"

namespace gptvq {

// A shape of a vector-quantized linear.
struct VectorShape {
  std::int64_t rows, cols;
  int vector_dim, index_bits;
  std::int64_t group_weights;
  int columns_per_group;
  int block_scale_columns;
};

// The shapes that break people: one row, groups of one row, stripes and row blocks that do not divide, K from 2 to 256.
std::vector<VectorShape> HostileVectorShapes();
std::string Describe(const VectorShape& shape);

// Random codebooks, block scales and assignments of such a linear, in host memory, and who belongs to whom, found by
// searching the layout instead of computing it.
struct VectorCodeCase {
  explicit VectorCodeCase(const VectorShape& shape);

  int centroid_count() const { return 1 << shape.index_bits; }
  std::int64_t vectors_per_row() const { return shape.cols / shape.vector_dim; }
  std::int64_t scale_blocks() const;
  std::int64_t Group(std::int64_t row, std::int64_t column) const;
  double Scale(std::int64_t row, std::int64_t column) const;
  // Component j of centroid k of a group.
  double Centroid(std::int64_t group, int k, int j) const;
  int Assignment(std::int64_t row, std::int64_t column) const;
  // Dequantized weight under the present assignments.
  double Weight(std::int64_t row, std::int64_t column) const;

  VectorShape shape;
  GroupLayout layout;
  std::vector<float> codebooks;           // [G, K * d]
  std::vector<float> scales;              // [R, blocks] or empty
  std::vector<std::uint8_t> assignments;  // [R, C / d]
};

// The same in backend memory. Borrows the case.
struct DeviceVectorCode {
  DeviceVectorCode(Backend& backend, const VectorCodeCase& host);

  VectorCode code() const;

  const VectorCodeCase& host;
  GuardedMatrix<float> codebooks;
  GuardedMatrix<float> scales;
  GuardedMatrix<std::uint8_t> assignments;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CONFORMANCE_VECTOR_CODE_CASE_H_

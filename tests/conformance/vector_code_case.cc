#include "tests/conformance/vector_code_case.h"

#include <sstream>
#include <utility>

#include "core/base/check.h"
#include "tests/support/test_random.h"

namespace gptvq {
namespace {

GroupLayout MakeLayout(const VectorShape& shape) {
  QuantSpec spec;
  spec.vector_dim = shape.vector_dim;
  spec.index_bits = shape.index_bits;
  spec.group_weights = shape.group_weights;
  spec.columns_per_group = shape.columns_per_group;
  auto layout = GroupLayout::Make(shape.rows, shape.cols, spec);
  GPTVQ_CHECK(layout.ok());
  return std::move(layout).value();
}

}  // namespace

std::vector<VectorShape> HostileVectorShapes() {
  return {
      {1, 16, 1, 1, 256, 16, 0},       // one row, one group, K = 2
      {1, 4, 4, 8, 8192, 256, 0},      // a single vector, K = 256
      {37, 256, 1, 2, 256, 256, 0},    // a codebook per row
      {96, 576, 2, 6, 8192, 256, 0},   // stripes of 256, 256 and 64
      {75, 896, 2, 4, 2048, 256, 64},  // row blocks of 8, 9 and 10; last stripe of 128
      {50, 192, 4, 8, 2048, 128, 32},  // K = 256, d = 4
      {33, 112, 1, 3, 512, 64, 32},    // ragged last scale block and stripe
      {192, 96, 2, 5, 4096, 32, 64},   // stripes narrower than a scale block
      {17, 72, 4, 2, 1024, 16, 8},     // narrow stripes
  };
}

std::string Describe(const VectorShape& s) {
  std::ostringstream text;
  text << s.rows << "x" << s.cols << " d=" << s.vector_dim << " bits=" << s.index_bits << " l=" << s.group_weights
       << " stripe=" << s.columns_per_group << " scales=" << s.block_scale_columns;
  return text.str();
}

VectorCodeCase::VectorCodeCase(const VectorShape& shape) : shape(shape), layout(MakeLayout(shape)) {
  codebooks = TestRandom(50).Normals(layout.group_count() * centroid_count() * shape.vector_dim);
  assignments = TestRandom(51).Bytes(shape.rows * vectors_per_row(), centroid_count());
  scales = TestRandom(52).Uniforms(shape.rows * scale_blocks(), 0.25, 4.0);
}

std::int64_t VectorCodeCase::scale_blocks() const {
  std::int64_t blocks = 0;
  while (shape.block_scale_columns > 0 && blocks * shape.block_scale_columns < shape.cols) ++blocks;
  return blocks;
}

std::int64_t VectorCodeCase::Group(std::int64_t row, std::int64_t column) const {
  for (const Stripe& stripe : layout.stripes()) {
    if (column < stripe.column_begin || column >= stripe.column_begin + stripe.column_count) continue;
    for (std::int64_t block = 0; block < stripe.row_block_count; ++block) {
      if (row >= layout.RowBlockBegin(stripe, block) && row < layout.RowBlockBegin(stripe, block + 1)) {
        return stripe.first_group + block;
      }
    }
  }
  GPTVQ_CHECK(false);
}

double VectorCodeCase::Scale(std::int64_t row, std::int64_t column) const {
  return scales.empty() ? 1.0 : scales[row * scale_blocks() + column / shape.block_scale_columns];
}

double VectorCodeCase::Centroid(std::int64_t group, int k, int j) const {
  return codebooks[(group * centroid_count() + k) * shape.vector_dim + j];
}

int VectorCodeCase::Assignment(std::int64_t row, std::int64_t column) const {
  return assignments[row * vectors_per_row() + column / shape.vector_dim];
}

double VectorCodeCase::Weight(std::int64_t row, std::int64_t column) const {
  const int j = static_cast<int>(column % shape.vector_dim);
  return Scale(row, column) * Centroid(Group(row, column), Assignment(row, column), j);
}

DeviceVectorCode::DeviceVectorCode(Backend& backend, const VectorCodeCase& host)
    : host(host),
      codebooks(backend, host.layout.group_count(), host.centroid_count() * host.shape.vector_dim, host.codebooks),
      scales(backend, host.shape.rows, host.scale_blocks(), host.scales),
      assignments(backend, host.shape.rows, host.vectors_per_row(), host.assignments) {}

VectorCode DeviceVectorCode::code() const {
  VectorCode code;
  code.layout = &host.layout;
  code.vector_dim = host.shape.vector_dim;
  code.index_bits = host.shape.index_bits;
  code.block_scale_columns = host.shape.block_scale_columns;
  if (host.shape.block_scale_columns > 0) code.block_scales = scales.view();
  return code;
}

}  // namespace gptvq

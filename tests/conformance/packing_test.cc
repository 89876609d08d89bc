#include <cstdint>
#include <tuple>
#include <vector>

#include "core/spec/bit_packing.h"
#include "tests/conformance/backend_conformance.h"
#include "tests/conformance/guarded_matrix.h"
#include "tests/conformance/vector_code_case.h"

namespace gptvq {
namespace {

class PackingConformance : public BackendConformance {};

// Runs of vectors that end anywhere in a byte: every width, odd counts, one row, one column, one vector.
std::vector<VectorShape> RaggedShapes() {
  std::vector<VectorShape> shapes = HostileVectorShapes();
  for (int bits = 1; bits <= 8; ++bits) {
    shapes.push_back({1, 1, 1, bits, 256, 16, 0});
    shapes.push_back({1, 37, 1, bits, 256, 16, 0});
    shapes.push_back({19, 1, 1, bits, 256, 16, 0});
    shapes.push_back({3, 46, 2, bits, 256, 20, 0});        // stripes of 10 vectors and of 3
    shapes.push_back({130, 1004, 4, bits, 4096, 300, 0});  // more rows and bytes than a thread block has threads
  }
  return shapes;
}

// The reference: the packer of the format, run by run.
std::vector<std::uint8_t> Packed(const VectorCodeCase& host) {
  const VectorShape& shape = host.shape;
  std::vector<std::uint8_t> packed;
  for (std::int64_t r = 0; r < shape.rows; ++r) {
    for (const Stripe& stripe : host.layout.stripes()) {
      const std::int64_t count = stripe.column_count / shape.vector_dim;
      std::vector<std::uint8_t> bytes(PackedRowBytes(count, shape.index_bits));
      const std::int64_t first = r * host.vectors_per_row() + stripe.column_begin / shape.vector_dim;
      PackBits(absl::MakeConstSpan(host.assignments).subspan(first, count), shape.index_bits, absl::MakeSpan(bytes));
      packed.insert(packed.end(), bytes.begin(), bytes.end());
    }
  }
  return packed;
}

TEST_P(PackingConformance, PackedAssignmentsAreTheBytesOfTheFormat) {
  for (const VectorShape& shape : RaggedShapes()) {
    SCOPED_TRACE(Describe(shape));
    const VectorCodeCase host(shape);
    const std::vector<std::uint8_t> expected = Packed(host);

    const auto packed = OnEveryThreadCount([&](Backend& b) {
      const DeviceVectorCode device(b, host);
      const GuardedMatrix<std::uint8_t> packed(b, shape.rows, expected.size() / shape.rows);
      EXPECT_TRUE(b.quant().PackAssignments(device.code(), device.assignments.view(), packed.view()).ok());
      return std::make_tuple(packed.Read());
    });

    EXPECT_EQ(std::get<0>(packed), expected);
  }
}

TEST_P(PackingConformance, UnpackingGivesTheAssignmentsBack) {
  for (const VectorShape& shape : RaggedShapes()) {
    SCOPED_TRACE(Describe(shape));
    const VectorCodeCase host(shape);
    const std::vector<std::uint8_t> bytes = Packed(host);

    const auto assignments = OnEveryThreadCount([&](Backend& b) {
      const DeviceVectorCode device(b, host);
      const GuardedMatrix<std::uint8_t> packed(b, shape.rows, bytes.size() / shape.rows, bytes);
      const GuardedMatrix<std::uint8_t> assignments(b, shape.rows, host.vectors_per_row());
      EXPECT_TRUE(b.quant().UnpackAssignments(device.code(), packed.view(), assignments.view()).ok());
      return std::make_tuple(assignments.Read());
    });

    EXPECT_EQ(std::get<0>(assignments), host.assignments);
  }
}

TEST_P(PackingConformance, RowsOfOtherLengthsAndWiderIndicesAreRefused) {
  const VectorCodeCase host({3, 46, 2, 3, 256, 20, 0});  // 2 x 4 + 2 bytes a row
  const DeviceVectorCode device(backend(), host);
  const GuardedMatrix<std::uint8_t> shorter(backend(), 3, 9), packed(backend(), 3, 10), fewer(backend(), 3, 22);
  QuantOps& ops = backend().quant();
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  VectorCode wide = device.code();
  wide.index_bits = 12;

  EXPECT_EQ(ops.PackAssignments(device.code(), device.assignments.view(), shorter.view()).code(), kInvalid);
  EXPECT_EQ(ops.PackAssignments(wide, device.assignments.view(), packed.view()).code(), kInvalid);
  EXPECT_EQ(ops.UnpackAssignments(device.code(), packed.view(), fewer.view()).code(), kInvalid);
  EXPECT_TRUE(ops.PackAssignments(device.code(), device.assignments.view(), packed.view()).ok());
}

INSTANTIATE_TEST_SUITE_P(Backends, PackingConformance, testing::ValuesIn(BackendFactories()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptvq

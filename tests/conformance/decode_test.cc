#include <cmath>

#include "tests/conformance/backend_conformance.h"
#include "tests/conformance/guarded_matrix.h"
#include "tests/conformance/vector_code_case.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

class DecodeConformance : public BackendConformance {};

TEST_P(DecodeConformance, DecodeVectorsIsOneRoundedProductPerWeight) {
  for (const VectorShape& shape : HostileVectorShapes()) {
    SCOPED_TRACE(Describe(shape));
    const VectorCodeCase host(shape);

    const auto q = OnEveryThreadCount([&](Backend& b) {
      const DeviceVectorCode device(b, host);
      const GuardedMatrix<float> q(b, shape.rows, shape.cols);
      EXPECT_TRUE(
          b.quant().DecodeVectors(device.code(), device.codebooks.view(), device.assignments.view(), q.view()).ok());
      return std::make_tuple(q.Read());
    });

    std::vector<float> expected;
    for (std::int64_t r = 0; r < shape.rows; ++r) {
      for (std::int64_t c = 0; c < shape.cols; ++c) expected.push_back(static_cast<float>(host.Weight(r, c)));
    }
    EXPECT_EQ(std::get<0>(q), expected);
  }
}

struct Sums {
  std::vector<double> values, magnitudes;
};

// Sum of scale * x over the members of every centroid, component by component.
template <typename X>
Sums CentroidSums64(const VectorCodeCase& host, const X& x) {
  Sums sums;
  sums.values.resize(host.codebooks.size());
  sums.magnitudes.resize(host.codebooks.size());
  for (std::int64_t r = 0; r < host.shape.rows; ++r) {
    for (std::int64_t c = 0; c < host.shape.cols; ++c) {
      const std::int64_t entry =
          (host.Group(r, c) * host.centroid_count() + host.Assignment(r, c)) * host.shape.vector_dim +
          c % host.shape.vector_dim;
      sums.values[entry] += host.Scale(r, c) * x(r, c);
      sums.magnitudes[entry] += std::fabs(host.Scale(r, c) * x(r, c));
    }
  }
  return sums;
}

TEST_P(DecodeConformance, CentroidSumsAreTheAdjointOfDecoding) {
  for (const VectorShape& shape : HostileVectorShapes()) {
    SCOPED_TRACE(Describe(shape));
    const VectorCodeCase host(shape);
    const auto x = TestRandom(53).Normals(shape.rows * shape.cols);
    const auto weights = TestRandom(54).Uniforms(shape.cols, 0.1, 10);

    const auto sums = OnEveryThreadCount([&](Backend& b) {
      const DeviceVectorCode device(b, host);
      const GuardedMatrix<float> x_device(b, shape.rows, shape.cols, x);
      const std::int64_t groups = host.layout.group_count(), entries = host.centroid_count() * shape.vector_dim;
      const GuardedMatrix<float> sums(b, groups, entries), weight_sums(b, groups, entries);
      EXPECT_TRUE(b.quant()
                      .AccumulateCentroidSums(device.code(), device.assignments.view(), x_device.view(), sums.view())
                      .ok());
      EXPECT_TRUE(b.quant()
                      .AccumulateCentroidWeights(device.code(), device.assignments.view(), weights, weight_sums.view())
                      .ok());
      return std::make_tuple(sums.Read(), weight_sums.Read());
    });

    // A group has at most rows * stripe width members, and a centroid all of them.
    const Bound bound = {static_cast<double>(shape.rows * shape.columns_per_group + 2) * kFloatRoundoff,
                         "members of a group times f32 roundoff"};
    const Sums expected = CentroidSums64(host, [&](std::int64_t r, std::int64_t c) { return x[r * shape.cols + c]; });
    EXPECT_TRUE(CloseBy(std::get<0>(sums), expected.values, expected.magnitudes, bound));
    const Sums expected_weights =
        CentroidSums64(host, [&](std::int64_t r, std::int64_t c) { return host.Scale(r, c) * weights[c]; });
    EXPECT_TRUE(CloseBy(std::get<1>(sums), expected_weights.values, expected_weights.magnitudes, bound));
  }
}

// All vectors of a group at one centroid: the longest sums, and the others exactly zero.
TEST_P(DecodeConformance, CentroidsWithoutMembersSumToZero) {
  VectorCodeCase host({64, 256, 2, 6, 8192, 256, 0});
  host.assignments.assign(host.assignments.size(), 63);
  const DeviceVectorCode device(backend(), host);
  const GuardedMatrix<float> ones(backend(), 64, 256, std::vector<float>(64 * 256, 1.0f));
  const GuardedMatrix<float> sums(backend(), host.layout.group_count(), 128);

  ASSERT_TRUE(backend()
                  .quant()
                  .AccumulateCentroidSums(device.code(), device.assignments.view(), ones.view(), sums.view())
                  .ok());

  std::vector<float> expected(host.codebooks.size());
  for (std::size_t entry = 0; entry < expected.size(); ++entry) expected[entry] = entry % 128 >= 126 ? 4096.0f : 0.0f;
  EXPECT_EQ(sums.Read(), expected);
}

TEST_P(DecodeConformance, RefusesShapesThatDoNotFit) {
  const VectorCodeCase host({8, 32, 2, 3, 256, 32, 0});
  const DeviceVectorCode device(backend(), host);
  const GuardedMatrix<float> wrong(backend(), 8, 31);
  QuantOps& ops = backend().quant();
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  VectorCode odd = device.code();
  odd.vector_dim = 3;
  VectorCode scaled = device.code();
  scaled.block_scale_columns = 32;  // but no scales

  EXPECT_EQ(ops.DecodeVectors(device.code(), device.codebooks.view(), device.assignments.view(), wrong.view()).code(),
            kInvalid);
  EXPECT_EQ(ops.DecodeVectors(odd, device.codebooks.view(), device.assignments.view(), wrong.view()).code(), kInvalid);
  EXPECT_EQ(ops.DecodeVectors(scaled, device.codebooks.view(), device.assignments.view(), wrong.view()).code(),
            kInvalid);
  EXPECT_EQ(ops.AccumulateCentroidSums(device.code(), device.assignments.view(), wrong.view(), device.codebooks.view())
                .code(),
            kInvalid);
  EXPECT_EQ(ops.AccumulateCentroidWeights(device.code(), device.assignments.view(), {}, device.codebooks.view()).code(),
            kInvalid);
}

INSTANTIATE_TEST_SUITE_P(Backends, DecodeConformance, testing::ValuesIn(BackendFactories()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptvq

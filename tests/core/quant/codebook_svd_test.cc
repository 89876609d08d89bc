#include "core/quant/codebook_svd.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "core/format/packed_linear.h"
#include "core/quant/truncated_svd.h"
#include "core/spec/presets.h"
#include "gtest/gtest.h"
#include "tests/core/quant/dense_math.h"
#include "tests/core/quant/layer_case.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

double SquareNorm(const Dense& a) {
  double sum = 0;
  for (double v : a.values) sum += v * v;
  return sum;
}

// What no matrix of rank `rank` can beat: ||a||^2 minus the `rank` largest eigenvalues of a^T a, those by orthogonal
// iteration.
double SmallestSquareError(const Dense& a, int rank) {
  const Dense gram = Product(Transposed(a), a);
  Dense q(a.cols, rank, TestRandom(4711).Normals(a.cols * rank));
  double captured = 0;
  for (int iteration = 0; iteration < 3000; ++iteration) {
    Dense next = Product(gram, q);
    captured = 0;
    for (int j = 0; j < rank; ++j) {
      for (int i = 0; i <= j; ++i) {
        double dot = 0;
        for (std::int64_t r = 0; r < next.rows; ++r) dot += next(r, i) * next(r, j);
        if (i == j) captured += std::sqrt(dot);
        for (std::int64_t r = 0; r < next.rows; ++r) next(r, j) -= i == j ? 0 : dot * next(r, i);
        if (i == j && dot > 0) {
          for (std::int64_t r = 0; r < next.rows; ++r) next(r, j) /= std::sqrt(dot);
        }
      }
    }
    q = std::move(next);
  }
  return SquareNorm(a) - captured;
}

TruncatedSvd Truncate(const Dense& a, int rank) {
  const std::vector<float> values = Narrowed(a);
  return TruncateSvd(MatrixView<const float>(values.data(), a.rows, a.cols), rank);
}

Dense FactorProduct(const TruncatedSvd& svd, std::int64_t rows, std::int64_t cols) {
  Dense u(rows, svd.rank);
  Dense v(svd.rank, cols);
  u.values = svd.coefficients;
  v.values = svd.basis;
  return Product(u, v);
}

Dense RandomMatrix(std::int64_t rows, std::int64_t cols, std::uint64_t stream) {
  return Dense(rows, cols, TestRandom(stream).Normals(rows * cols));
}

TEST(TruncateSvd, LosesNothingAtFullRank) {
  for (const auto& [rows, cols] : std::vector<std::pair<int, int>>{{37, 8}, {3, 16}, {1, 4}, {300, 256}, {5, 1}}) {
    const Dense a = RandomMatrix(rows, cols, 1);

    const TruncatedSvd svd = Truncate(a, cols);

    const Dense difference = Difference(FactorProduct(svd, rows, cols), a);
    EXPECT_LT(SquareNorm(difference), 1e-24 * SquareNorm(a)) << rows << " x " << cols << ", f64";
    Dense basis(cols, cols);
    basis.values = svd.basis;
    Dense identity(cols, cols);
    for (int i = 0; i < cols; ++i) identity(i, i) = 1;
    EXPECT_LT(SquareNorm(Difference(Product(basis, Transposed(basis)), identity)), 1e-22) << rows << " x " << cols;
  }
}

TEST(TruncateSvd, GivesTheNearestMatrixOfItsRank) {
  const Dense a = RandomMatrix(40, 8, 2);
  for (int rank = 1; rank < 8; ++rank) {
    const double error = SquareNorm(Difference(FactorProduct(Truncate(a, rank), 40, 8), a));

    EXPECT_TRUE(CloseNumber(error, SmallestSquareError(a, rank), {1e-9, "orthogonal iteration"})) << "rank " << rank;
  }
}

TEST(TruncateSvd, SurvivesZerosAndEqualRows) {
  const Dense zeros(6, 4);
  Dense equal(6, 4);
  for (std::int64_t i = 0; i < 24; ++i) equal.values[i] = static_cast<double>(i % 4) - 1.5;

  EXPECT_EQ(FactorProduct(Truncate(zeros, 2), 6, 4).values, zeros.values);
  EXPECT_LT(SquareNorm(Difference(FactorProduct(Truncate(equal, 1), 6, 4), equal)), 1e-24);
  EXPECT_LT(SquareNorm(Difference(FactorProduct(Truncate(equal, 4), 6, 4), equal)), 1e-24);
}

// A linear with random assignments and codebooks of one common shape, stretched group by group, in random order.
struct SvdCase {
  SvdCase(const LayerCase& layer, const QuantSpec& spec)
      : layer(layer), spec(spec), backend(CpuForTests()), hessian(Prepare(*backend, layer, spec)) {
    const std::int64_t rows = layer.weights.rows;
    const std::int64_t cols = layer.weights.cols;
    const int centroids = spec.centroid_count();
    TestRandom random(7);
    state = VectorState::Make(*backend,
                              DeviceMatrix<float>::FromHost(*backend, layer.narrow.data(), rows, cols).value(), spec)
                .value();
    const auto assignments = random.Bytes(rows * cols, centroids);
    state.assignments = DeviceMatrix<std::uint8_t>::FromHost(*backend, assignments.data(), rows, cols).value();
    for (std::size_t i = 0; i < state.values.size(); ++i) {
      const double position = (static_cast<double>(i * 5 % centroids) + 0.5) / centroids - 0.5;  // unsorted
      state.values[i] = static_cast<float>(0.15 * position * (1 + 0.2 * random.Normal()) + 0.005 * random.Normal());
    }
    EXPECT_TRUE(state.RoundCodebooks(*backend, 0, state.layout.group_count()).ok());
    residual = Residual::Allocate(*backend, rows, cols).value();
    scratch = Residual::Allocate(*backend, rows, cols).value();
    EXPECT_TRUE(residual.Recompute(*backend, hessian, state).ok());
  }

  const SvdCodebooks& stored() const { return std::get<SvdCodebooks>(state.stored); }

  void Compress(int rank) {
    ASSERT_TRUE(CompressCodebooks(*backend, rank, state).ok());
    ASSERT_TRUE(residual.Recompute(*backend, hessian, state).ok());
  }

  Dense Codebooks() const { return Dense(state.layout.group_count(), spec.centroid_count(), state.values); }

  Dense Codes() const {
    Dense codes(state.layout.group_count(), stored().rank);
    std::copy(stored().codes.begin(), stored().codes.end(), codes.values.begin());
    return codes;
  }
  Dense Basis() const { return Dense(stored().rank, spec.centroid_count(), stored().basis); }

  // The weights that codebooks stand for, from the layout alone.
  Dense Decode(const Dense& codebooks) const {
    const std::vector<std::uint8_t> assignments = state.assignments.ToHost(*backend).value();
    Dense q(layer.weights.rows, layer.weights.cols);
    for (const Stripe& stripe : state.layout.stripes()) {
      for (std::int64_t r = 0; r < q.rows; ++r) {
        std::int64_t block = 0;
        while (state.layout.RowBlockBegin(stripe, block + 1) <= r) ++block;
        for (std::int64_t c = stripe.column_begin; c < stripe.column_begin + stripe.column_count; ++c) {
          q(r, c) = codebooks(stripe.first_group + block, assignments[r * q.cols + c]);
        }
      }
    }
    return q;
  }

  double LossOf(const Dense& codebooks) const {
    return QuadraticLoss(Difference(layer.weights, Decode(codebooks)), Damped(layer.hessian, spec.damping));
  }
  double Loss() const { return LossOf(Product(Codes(), Basis())); }

  // The smallest loss over all bases, codes as they are, from the dense normal equations.
  double SmallestLossOverBases() const {
    const Dense h = Damped(layer.hessian, spec.damping);
    const Dense codes = Codes();
    const Dense target = Product(layer.weights, h);
    std::vector<Dense> columns;
    for (std::int64_t i = 0; i < Basis().rows * Basis().cols; ++i) {
      Dense unit(Basis().rows, Basis().cols);
      unit.values[i] = 1;
      columns.push_back(Decode(Product(codes, unit)));
    }
    const auto n = static_cast<std::int64_t>(columns.size());
    Dense normal(n, n);
    Dense right(n, 1);
    for (std::int64_t i = 0; i < n; ++i) {
      const Dense product = Product(columns[i], h);
      for (std::size_t e = 0; e < product.values.size(); ++e) right(i, 0) += columns[i].values[e] * target.values[e];
      for (std::int64_t j = 0; j < n; ++j) {
        for (std::size_t e = 0; e < product.values.size(); ++e)
          normal(i, j) += columns[j].values[e] * product.values[e];
      }
    }
    Dense basis(Basis().rows, Basis().cols);
    basis.values = Product(Inverse(normal), right).values;
    return LossOf(Product(codes, basis));
  }

  LayerCase layer;
  QuantSpec spec;
  std::unique_ptr<Backend> backend;
  PreparedHessian hessian;
  VectorState state;
  Residual residual;
  Residual scratch;
};

QuantSpec ScalarSpec(int index_bits, double rank_fraction) {
  QuantSpec spec = SmallSpec(1, index_bits);
  spec.svd_rank_fraction = rank_fraction;
  spec.refinement_passes = 4;
  return spec;
}

// 0.5 of a code in every coefficient: what rounding may move the entries of column k by.
double RoundingOfEntry(const Dense& basis, std::int64_t k) {
  double sum = 0;
  for (std::int64_t j = 0; j < basis.rows; ++j) sum += 0.5 * std::abs(basis(j, k));
  return sum * (1 + 1e-5);  // and f32
}

TEST(CompressCodebooks, KeepsTheWeightsAtFullRankButForRounding) {
  SvdCase test(RandomLayer(40, 72, 10), ScalarSpec(3, 1));  // the last stripe is 8 columns wide
  const Dense before = test.Decode(test.Codebooks());

  test.Compress(8);

  EXPECT_EQ(test.stored().rank, 8);
  const Dense after = test.Decode(Product(test.Codes(), test.Basis()));
  double allowed = 0;
  for (std::int64_t k = 0; k < 8; ++k) allowed = std::max(allowed, RoundingOfEntry(test.Basis(), k));
  ASSERT_LT(allowed, 0.003) << "a tight bound beside codebooks that reach to 0.1";
  for (std::size_t i = 0; i < before.values.size(); ++i) ASSERT_NEAR(after.values[i], before.values[i], allowed);
}

TEST(CompressCodebooks, IsAsNearTheSortedCodebooksAsTheirRankAllows) {
  for (int rank : {1, 2, 3, 4}) {
    SvdCase test(RandomLayer(48, 96, 11), ScalarSpec(3, 0.5));
    Dense sorted = test.Codebooks();
    for (std::int64_t g = 0; g < sorted.rows; ++g) {
      std::sort(sorted.values.begin() + g * sorted.cols, sorted.values.begin() + (g + 1) * sorted.cols);
    }
    const double smallest = std::sqrt(SmallestSquareError(sorted, rank));
    ASSERT_GT(smallest, 0.01 * std::sqrt(SquareNorm(sorted))) << "truncation takes something away";

    test.Compress(rank);

    double rounding = 0;
    for (std::int64_t k = 0; k < 8; ++k) rounding += sorted.rows * std::pow(RoundingOfEntry(test.Basis(), k), 2);
    const double distance = std::sqrt(SquareNorm(Difference(Product(test.Codes(), test.Basis()), sorted)));
    EXPECT_LE(distance, smallest + std::sqrt(rounding)) << "rank " << rank;
    EXPECT_LT(distance, 1.05 * smallest) << "rank " << rank;
  }
}

TEST(CompressCodebooks, UsesAllCodesOfEveryColumnAndDecodesLikeTheFormat) {
  SvdCase test(RandomLayer(40, 64, 12), ScalarSpec(4, 0.25));

  test.Compress(4);

  const Dense codes = test.Codes();
  for (std::int64_t j = 0; j < 4; ++j) {
    double largest = 0;
    for (std::int64_t g = 0; g < codes.rows; ++g) largest = std::max(largest, std::abs(codes(g, j)));
    EXPECT_EQ(largest, 127) << "column " << j;
  }
  VectorQuantizedLinear linear;
  linear.layout = test.state.layout;
  linear.vector_dim = 1;
  linear.index_bits = 4;
  linear.codebooks = test.state.stored;
  EXPECT_EQ(linear.DecodedCodebooks(), test.state.values);
  EXPECT_EQ(test.state.codebooks.ToHost(*test.backend).value(), test.state.values);
}

TEST(TuneFactors, EndsAtTheBestBasisForItsCodes) {
  SvdCase test(RandomLayer(24, 72, 20), ScalarSpec(3, 0.375));
  test.Compress(3);
  const double before = test.Loss();

  ASSERT_TRUE(TuneFactors(*test.backend, test.hessian, 200, 1e-9, test.state, test.residual, test.scratch).ok());

  EXPECT_LT(test.Loss(), 0.9 * before);
  EXPECT_TRUE(CloseNumber(test.Loss(), test.SmallestLossOverBases(), {1e-4, "f32 products in conjugate gradient"}));
  EXPECT_TRUE(CloseNumber(test.residual.Loss(), test.Loss(), {1e-4, "f32 products"}));
  EXPECT_EQ(test.state.codebooks.ToHost(*test.backend).value(), test.state.values);
}

// The best basis alone does not get where moving the codes as well gets.
TEST(TuneFactors, MovesTheCodesToo) {
  SvdCase test(RandomLayer(48, 96, 21), ScalarSpec(3, 0.25));
  test.Compress(2);
  const double best_basis_only = test.SmallestLossOverBases();

  ASSERT_TRUE(TuneFactors(*test.backend, test.hessian, 20, 1e-6, test.state, test.residual, test.scratch).ok());

  EXPECT_LT(test.Loss(), 0.95 * best_basis_only);
}

TEST(TuneFactors, NeverRaisesTheLoss) {
  SvdCase test(RandomLayer(32, 64, 22), ScalarSpec(2, 0.5));
  test.Compress(2);
  double previous = test.Loss();
  bool unchanged = false;
  for (int round = 0; round < 200 && !unchanged; ++round) {
    ASSERT_TRUE(TuneFactors(*test.backend, test.hessian, 3, 0, test.state, test.residual, test.scratch).ok());
    const double loss = test.Loss();
    EXPECT_LE(loss, previous * (1 + 1e-6)) << "round " << round << ", compared in f32 inside";
    unchanged = loss == previous;
    previous = loss;
  }
  EXPECT_TRUE(unchanged) << "the case goes on until nothing lowers the loss";
  EXPECT_TRUE(CloseNumber(test.residual.Loss(), test.Loss(), {1e-4, "f32 products"}));
}

// Nothing depends on a centroid that no weight uses; one group has seven columns of rounding noise in its factors.
TEST(TuneFactors, SurvivesUnusedCentroidsAndColumnsOfNoise) {
  SvdCase test(RandomLayer(8, 32, 23), ScalarSpec(3, 1));
  const std::vector<std::uint8_t> zeros(8 * 32, 0);
  test.state.assignments = DeviceMatrix<std::uint8_t>::FromHost(*test.backend, zeros.data(), 8, 32).value();
  test.Compress(8);
  const double before = test.Loss();

  ASSERT_TRUE(TuneFactors(*test.backend, test.hessian, 10, 0, test.state, test.residual, test.scratch).ok());

  EXPECT_LT(test.Loss(), before);
  for (float value : test.state.values) EXPECT_LT(std::abs(value), 1) << "codebooks reach to 0.1 at first";
}

double MeasuredError(const LayerCase& layer, const LinearResult& result) {
  return QuadraticLoss(ErrorOf(layer, result), layer.hessian) / QuadraticLoss(layer.weights, layer.hessian);
}

TEST(QuantizeLinearWithSvd, ComesBackFromPackingWithTheSameWeightsAndCountsEveryBit) {
  const auto backend = CpuForTests();
  QuantSpec spec = FindPreset("1d-3.125bpv").value();
  spec.svd_rank_fraction = 0.4;  // rank ceil(3.2)
  spec.refinement_passes = 4;
  const LayerCase layer = RandomLayer(12, 512, 30);

  const LinearResult result = Quantize(*backend, layer, spec).value();

  ASSERT_TRUE(ValidateQuantizedLinear(result.linear).ok()) << ValidateQuantizedLinear(result.linear);
  EXPECT_TRUE(CloseNumber(result.report.relative_error, MeasuredError(layer, result),
                          {2e-3, "f32 loss with H' minus its damped part"}));
  const BitCount& bits = result.report.bits;
  EXPECT_EQ(bits.index_bits, 12 * 512 * 3);
  EXPECT_EQ(bits.codebook_bits, 12 * 4 * 8) << "12 groups of 512 weights, 4 codes each";
  EXPECT_EQ(bits.codebook_scale_bits, 4 * 8 * 32) << "the basis";
  const PackedModule module{.name = "q", .rows = 12, .cols = 512, .layout = LayoutOf(spec)};
  const std::vector<PackedTensor> packed = PackLinear(module, result.linear).value();
  std::int64_t packed_bytes = 0;
  for (const PackedTensor& tensor : packed) packed_bytes += static_cast<std::int64_t>(tensor.bytes.size());
  EXPECT_EQ(bits.total_bits(), 8 * packed_bytes);
  const QuantizedLinear unpacked = UnpackLinear(module, packed).value();
  std::vector<float> weights(12 * 512, std::numeric_limits<float>::quiet_NaN());
  Dequantize(unpacked, MatrixView<float>(weights.data(), 12, 512));
  EXPECT_EQ(weights, result.Dequantized());
}

TEST(QuantizeLinearWithSvd, TuningAndReassignmentLowerTheError) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(64, 128, 31);
  for (const auto& [index_bits, fraction] : std::vector<std::pair<int, double>>{{2, 0.5}, {3, 0.5}, {4, 0.5}}) {
    const QuantSpec spec = ScalarSpec(index_bits, fraction);
    QuantSpec untouched = SweepOnly(spec);
    QuantSpec tuned = spec;
    tuned.refinement_passes = 0;
    QuantSpec plain = spec;
    plain.svd_rank_fraction = 0;

    const double error = Quantize(*backend, layer, spec)->report.relative_error;

    const double tuned_error = Quantize(*backend, layer, tuned)->report.relative_error;
    EXPECT_LT(tuned_error, 0.9 * Quantize(*backend, layer, untouched)->report.relative_error) << index_bits;
    EXPECT_LT(error, 0.97 * tuned_error) << index_bits;
    EXPECT_LT(error, 1.3 * Quantize(*backend, layer, plain)->report.relative_error) << index_bits;
  }
}

TEST(QuantizeLinearWithSvd, GivesTheSameBytesForOneTwoOrSevenThreads) {
  const LayerCase layer = RandomLayer(50, 200, 32);
  QuantSpec spec = ScalarSpec(3, 0.5);
  spec.block_scale_columns = 16;
  const auto bytes = [&](int threads) {
    const auto backend = CpuForTests(threads);
    const LinearResult result = Quantize(*backend, layer, spec).value();
    const auto& linear = std::get<VectorQuantizedLinear>(result.linear);
    const auto& codebooks = std::get<SvdCodebooks>(linear.codebooks);
    return std::tuple(result.Dequantized(), linear.packed_indices, codebooks.codes, codebooks.basis,
                      result.report.relative_error);
  };

  const auto one = bytes(1);

  EXPECT_EQ(bytes(2), one);
  EXPECT_EQ(bytes(7), one);
}

TEST(QuantizeLinearWithSvd, QuantizesRaggedAndTinyShapesWhole) {
  const auto backend = CpuForTests();
  const std::pair<std::int64_t, std::int64_t> shapes[] = {{72, 72}, {56, 112}, {1, 4}, {3, 36}, {5, 924}};
  for (const auto& [rows, cols] : shapes) {
    SCOPED_TRACE(testing::Message() << rows << " x " << cols);
    const LayerCase layer = RandomLayer(rows, cols, 33);

    const auto result = Quantize(*backend, layer, ScalarSpec(3, 0.5));

    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(ValidateQuantizedLinear(result->linear).ok()) << ValidateQuantizedLinear(result->linear);
    EXPECT_LT(MeasuredError(layer, *result), 0.12);
  }
}

TEST(QuantizeLinearWithSvd, AZeroMatrixStaysZero) {
  const auto backend = CpuForTests();
  const LayerCase layer = ALayer(Dense(16, 64), CorrelatedHessian(64, 200, 34));

  const auto result = Quantize(*backend, layer, ScalarSpec(2, 0.5));

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->Dequantized(), std::vector<float>(16 * 64, 0.0f));
}

}  // namespace
}  // namespace gptvq

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "core/backend/hessian_panels.h"
#include "tests/conformance/backend_conformance.h"
#include "tests/conformance/guarded_matrix.h"
#include "tests/conformance/reference_matrix.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

class LinearAlgebraConformance : public BackendConformance {};

TEST_P(LinearAlgebraConformance, MatMulCoversTransposesScalingAndRaggedTiles) {
  struct Case {
    std::int64_t rows, cols, inner;
    float alpha, beta;
  };
  for (const Case& c : {Case{1, 1, 1, 1, 0},
                        {0, 3, 2, 1, 0},
                        {193, 385, 100, 1, 0},
                        {192, 96, 577, -1, 1},
                        {5, 400, 3, 2, 0.5f},
                        {400, 1, 64, 1, 0},
                        {3, 4, 0, 1, 2}}) {
    for (Transpose ta : {Transpose::kNo, Transpose::kYes}) {
      for (Transpose tb : {Transpose::kNo, Transpose::kYes}) {
        SCOPED_TRACE(testing::Message() << c.rows << "x" << c.cols << "x" << c.inner << " " << (ta == Transpose::kYes)
                                        << (tb == Transpose::kYes));
        const auto a = TestRandom(30).Normals(c.rows * c.inner), b = TestRandom(31).Normals(c.inner * c.cols);
        const auto before = TestRandom(32).Normals(c.rows * c.cols);
        const auto a_at = [&](std::int64_t r, std::int64_t i) {
          return static_cast<double>(ta == Transpose::kNo ? a[r * c.inner + i] : a[i * c.rows + r]);
        };
        const auto b_at = [&](std::int64_t i, std::int64_t col) {
          return static_cast<double>(tb == Transpose::kNo ? b[i * c.cols + col] : b[col * c.inner + i]);
        };

        const auto result = OnEveryThreadCount([&](Backend& backend) {
          const bool a_plain = ta == Transpose::kNo, b_plain = tb == Transpose::kNo;
          const GuardedMatrix<float> a_device(backend, a_plain ? c.rows : c.inner, a_plain ? c.inner : c.rows, a);
          const GuardedMatrix<float> b_device(backend, b_plain ? c.inner : c.cols, b_plain ? c.cols : c.inner, b);
          const auto c_device = c.beta == 0 ? GuardedMatrix<float>(backend, c.rows, c.cols)  // poison is ignored
                                            : GuardedMatrix<float>(backend, c.rows, c.cols, before);
          EXPECT_TRUE(
              backend.quant().MatMul(c.alpha, a_device.view(), ta, b_device.view(), tb, c.beta, c_device.view()).ok());
          return std::make_tuple(c_device.Read());
        });

        std::vector<double> expected, scales;
        for (std::int64_t r = 0; r < c.rows; ++r) {
          for (std::int64_t col = 0; col < c.cols; ++col) {
            double sum = 0, magnitude = 0;
            for (std::int64_t i = 0; i < c.inner; ++i) {
              sum += a_at(r, i) * b_at(i, col);
              magnitude += std::fabs(a_at(r, i) * b_at(i, col));
            }
            const double old = c.beta == 0 ? 0.0 : c.beta * before[r * c.cols + col];
            expected.push_back(c.alpha * sum + old);
            scales.push_back(std::fabs(c.alpha) * magnitude + std::fabs(old));
          }
        }
        EXPECT_TRUE(
            CloseBy(std::get<0>(result), expected, scales,
                    {static_cast<double>(c.inner + 3) * kFloatRoundoff, "length of the sum times f32 roundoff"}));
      }
    }
  }
}

// Large enough for what a backend keeps for large products. The sum of squares of a row's products: errors that cancel in
// a mean would not show.
TEST_P(LinearAlgebraConformance, LargeProductsAreAsExactAsF32) {
  const std::int64_t rows = 257, cols = 260, inner = 1100;
  const auto a = TestRandom(60).Normals(rows * inner), b = TestRandom(61).Normals(inner * cols);
  const auto before = TestRandom(62).Normals(rows * cols);
  std::vector<float> a_transposed(a.size()), b_transposed(b.size());
  for (std::int64_t i = 0; i < inner; ++i) {
    for (std::int64_t r = 0; r < rows; ++r) a_transposed[i * rows + r] = a[r * inner + i];
    for (std::int64_t c = 0; c < cols; ++c) b_transposed[c * inner + i] = b[i * cols + c];
  }

  const auto product = [&](Transpose transpose) {
    return OnEveryThreadCount([&](Backend& backend) {
      const bool plain = transpose == Transpose::kNo;
      const GuardedMatrix<float> a_device(backend, plain ? rows : inner, plain ? inner : rows,
                                          plain ? a : a_transposed);
      const GuardedMatrix<float> b_device(backend, plain ? inner : cols, plain ? cols : inner,
                                          plain ? b : b_transposed);
      const GuardedMatrix<float> c_device(backend, rows, cols, before);
      EXPECT_TRUE(
          backend.quant().MatMul(-1, a_device.view(), transpose, b_device.view(), transpose, 2, c_device.view()).ok());
      return std::make_tuple(c_device.Read());
    });
  };

  std::vector<double> expected, scales;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      double sum = 2.0 * before[r * cols + c], squares = sum * sum;
      for (std::int64_t i = 0; i < inner; ++i) {
        const double term = static_cast<double>(a[r * inner + i]) * b[i * cols + c];
        sum -= term;
        squares += term * term;
      }
      expected.push_back(sum);
      scales.push_back(std::sqrt(squares));
    }
  }
  const Bound bound = {
      std::sqrt(static_cast<double>(inner)) * 16 * kFloatRoundoff,
      "roundings of a partial sum of sqrt(inner) deviations, 16 of them where a random walk has 4 at most"};
  EXPECT_TRUE(CloseBy(std::get<0>(product(Transpose::kNo)), expected, scales, bound));
  EXPECT_TRUE(CloseBy(std::get<0>(product(Transpose::kYes)), expected, scales, bound));
}

TEST_P(LinearAlgebraConformance, HessianAddsTheUpperTriangleOnly) {
  for (auto [tokens, cols] : {std::pair<std::int64_t, std::int64_t>{0, 5}, {1, 1}, {1, 200}, {300, 193}, {65, 577}}) {
    SCOPED_TRACE(testing::Message() << tokens << "x" << cols);
    const auto x = RoundedTo(backend().activation_dtype(), TestRandom(33).Normals(tokens * cols));
    std::vector<float> before = TestRandom(34).Normals(cols * cols);
    for (std::int64_t r = 0; r < cols; ++r) {
      for (std::int64_t c = 0; c < r; ++c) before[r * cols + c] = -7;
    }

    const auto h = OnEveryThreadCount([&, tokens = tokens, cols = cols](Backend& b) {
      const GuardedTensor x_device(b, tokens, cols, x);
      const GuardedMatrix<float> h_device(b, cols, cols, before);
      const auto skipped = b.quant().AccumulateHessian(x_device.view(), h_device.view());
      EXPECT_TRUE(skipped.ok() && *skipped == 0);
      return std::make_tuple(h_device.Read());
    });

    std::vector<double> expected, scales;
    for (std::int64_t r = 0; r < cols; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        double sum = before[r * cols + c], magnitude = c < r ? 0.0 : std::fabs(sum);  // below the diagonal: exact
        for (std::int64_t t = 0; t < tokens && c >= r; ++t) {
          const double term = static_cast<double>(x[t * cols + r]) * x[t * cols + c];
          sum += term;
          magnitude += std::fabs(term);
        }
        expected.push_back(sum);
        scales.push_back(magnitude);
      }
    }
    EXPECT_TRUE(CloseBy(std::get<0>(h), expected, scales,
                        {static_cast<double>(tokens + 1) * kFloatRoundoff, "length of the sum times f32 roundoff"}));
  }
}

TEST_P(LinearAlgebraConformance, PanelsOfAHessianGiveTheBytesOfTheWhole) {
  for (auto [tokens, cols] : {std::pair<std::int64_t, std::int64_t>{3, 5}, {300, 577}, {520, 800}}) {
    SCOPED_TRACE(testing::Message() << tokens << "x" << cols);
    auto x = TestRandom(36).Normals(tokens * cols);
    x[cols + 2] = std::numeric_limits<float>::infinity();
    const std::vector<float> before = TestRandom(37).Normals(cols * cols);
    const GuardedTensor x_device(backend(), tokens, cols, x);
    const GuardedMatrix<float> whole(backend(), cols, cols, before);
    ASSERT_TRUE(backend().quant().AccumulateHessian(x_device.view(), whole.view()).ok());

    const auto by_panels = OnEveryThreadCount([&, tokens = tokens, cols = cols](Backend& b) {
      const GuardedTensor x_there(b, tokens, cols, x);
      const GuardedMatrix<float> h(b, cols, cols, before);
      for (int rank : {2, 0, 1}) {
        std::vector<IndexRange> panels;
        for (std::int64_t i : HessianPanelsOf(rank, 3, std::ssize(HessianPanels(cols)))) {
          panels.push_back(HessianPanels(cols)[i]);
        }
        const auto skipped = b.quant().AccumulateHessianPanels(x_there.view(), panels, h.view());
        EXPECT_TRUE(skipped.ok() && *skipped == 1);
      }
      return std::make_tuple(h.Read());
    });

    EXPECT_TRUE(std::get<0>(by_panels) == whole.Read());
  }
}

// Ragged, and longer than the pieces in which a backend rounds its factors. Each of two factors is off by 2^-9 of itself.
TEST_P(LinearAlgebraConformance, CoarseProductsAreRightToTheBitsOfBf16) {
  struct Case {
    std::int64_t rows, cols, inner;
    float beta;
  };
  for (const Case& c : {Case{1, 1, 1, 0}, {70, 33, 128, 1}, {5, 130, 4500, 2}, {3, 4, 0, 0.5f}, {0, 3, 2, 1}}) {
    SCOPED_TRACE(testing::Message() << c.rows << "x" << c.cols << "x" << c.inner);
    const auto a = TestRandom(63).Normals(c.rows * c.inner), b = TestRandom(64).Normals(c.inner * c.cols);
    const auto before = TestRandom(65).Normals(c.rows * c.cols);

    const auto result = OnEveryThreadCount([&](Backend& backend) {
      const GuardedMatrix<float> a_device(backend, c.rows, c.inner, a), b_device(backend, c.inner, c.cols, b);
      const auto c_device = c.beta == 0 ? GuardedMatrix<float>(backend, c.rows, c.cols)  // poison is ignored
                                        : GuardedMatrix<float>(backend, c.rows, c.cols, before);
      EXPECT_TRUE(backend.quant().CoarseMatMul(a_device.view(), b_device.view(), c.beta, c_device.view()).ok());
      return std::make_tuple(c_device.Read());
    });

    std::vector<double> expected, scales;
    for (std::int64_t r = 0; r < c.rows; ++r) {
      for (std::int64_t col = 0; col < c.cols; ++col) {
        const double old = c.beta == 0 ? 0.0 : c.beta * before[r * c.cols + col];
        double sum = old, magnitude = std::fabs(old);
        for (std::int64_t i = 0; i < c.inner; ++i) {
          const double term = static_cast<double>(a[r * c.inner + i]) * b[i * c.cols + col];
          sum += term;
          magnitude += std::fabs(term);
        }
        expected.push_back(sum);
        scales.push_back(magnitude);
      }
    }
    const double sum_bound = static_cast<double>(c.inner + 3) * kFloatRoundoff;
    EXPECT_TRUE(CloseBy(std::get<0>(result), expected, scales,
                        {0x1p-8 + 0x1p-18 + sum_bound, "two roundings to bf16, length of the sum times f32 roundoff"}));
  }
}

// Where a backend allows rows to be cut; one that says 0 does not, and no team of several is made of it.
TEST_P(LinearAlgebraConformance, RowsOfAProductDoNotDependOnOtherRows) {
  const std::int64_t unit = backend().row_unit();
  if (unit == 0) return;
  for (auto [rows, cols, inner] : {std::array<std::int64_t, 3>{197, 64, 128}, {300, 577, 1000}, {95, 1, 30}}) {
    const auto a = TestRandom(38).Normals(rows * inner), b = TestRandom(39).Normals(inner * cols);
    const auto before = TestRandom(40).Normals(rows * cols);
    const GuardedMatrix<float> a_device(backend(), rows, inner, a), b_device(backend(), inner, cols, b);
    const GuardedMatrix<float> whole(backend(), rows, cols, before), cut(backend(), rows, cols, before);
    const auto multiply = [&, rows = rows](const GuardedMatrix<float>& c, std::int64_t begin, std::int64_t end) {
      const std::int64_t first = std::min(begin * unit, rows), count = std::min(end * unit, rows) - first;
      return backend().quant().MatMul(1, a_device.view().Rows(first, count), Transpose::kNo, b_device.view(),
                                      Transpose::kNo, 1, c.view().Rows(first, count));
    };
    ASSERT_TRUE(multiply(whole, 0, rows).ok());

    for (auto [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, 1}, {1, 8}, {8, 41}, {41, rows}}) {
      ASSERT_TRUE(multiply(cut, begin, end).ok());
    }

    EXPECT_TRUE(cut.Read() == whole.Read()) << rows << "x" << cols << "x" << inner;

    const auto multiply_coarsely = [&, rows = rows](const GuardedMatrix<float>& c, std::int64_t begin,
                                                    std::int64_t end) {
      const std::int64_t first = std::min(begin * unit, rows), count = std::min(end * unit, rows) - first;
      return backend().quant().CoarseMatMul(a_device.view().Rows(first, count), b_device.view(), 0,
                                            c.view().Rows(first, count));
    };
    ASSERT_TRUE(multiply_coarsely(whole, 0, rows).ok());
    for (auto [begin, end] : {std::pair<std::int64_t, std::int64_t>{0, 1}, {1, 8}, {8, 41}, {41, rows}}) {
      ASSERT_TRUE(multiply_coarsely(cut, begin, end).ok());
    }
    EXPECT_TRUE(cut.Read() == whole.Read()) << rows << "x" << cols << "x" << inner << ", coarse";
  }
}

TEST_P(LinearAlgebraConformance, HessianLeavesOutRowsThatAreNotFiniteAndCountsThem) {
  const std::int64_t tokens = 40, cols = 30;
  auto x = RoundedTo(backend().activation_dtype(), TestRandom(35).Normals(tokens * cols));
  x[0] = std::numeric_limits<float>::quiet_NaN();
  x[7 * cols + 29] = std::numeric_limits<float>::infinity();
  x[8 * cols + 3] = -std::numeric_limits<float>::infinity();
  x[39 * cols] = std::numeric_limits<float>::quiet_NaN();

  const GuardedTensor x_device(backend(), tokens, cols, x);
  const GuardedMatrix<float> h(backend(), cols, cols, std::vector<float>(cols * cols));
  const auto skipped = backend().quant().AccumulateHessian(x_device.view(), h.view());
  ASSERT_TRUE(skipped.ok());
  ASSERT_TRUE(backend().quant().Symmetrize(h.view()).ok());

  EXPECT_EQ(*skipped, 4);
  std::vector<double> expected(cols * cols);
  for (std::int64_t t : {1, 2, 3, 4, 5, 6}) {
    for (std::int64_t r = 0; r < cols; ++r) {
      for (std::int64_t c = 0; c < cols; ++c)
        expected[r * cols + c] += static_cast<double>(x[t * cols + r]) * x[t * cols + c];
    }
  }
  for (std::int64_t t = 9; t < 39; ++t) {
    for (std::int64_t r = 0; r < cols; ++r) {
      for (std::int64_t c = 0; c < cols; ++c)
        expected[r * cols + c] += static_cast<double>(x[t * cols + r]) * x[t * cols + c];
    }
  }
  EXPECT_TRUE(Close(h.Read(), expected, {tokens * kFloatRoundoff, "sums of 36 products"}));
}

TEST_P(LinearAlgebraConformance, SymmetrizeCopiesTheUpperTriangleExactly) {
  for (std::int64_t order : {0, 1, 33, 200}) {
    const auto before = TestRandom(36).Normals(order * order);

    const auto h = OnEveryThreadCount([&](Backend& b) {
      const GuardedMatrix<float> h_device(b, order, order, before);
      EXPECT_TRUE(b.quant().Symmetrize(h_device.view()).ok());
      return std::make_tuple(h_device.Read());
    });

    std::vector<float> expected = before;
    for (std::int64_t r = 0; r < order; ++r) {
      for (std::int64_t c = 0; c < r; ++c) expected[r * order + c] = before[c * order + r];
    }
    EXPECT_EQ(std::get<0>(h), expected);
  }
}

TEST_P(LinearAlgebraConformance, ReversedCholeskyGivesTheUpperFactor) {
  for (std::int64_t order : {0, 1, 2, 191, 192, 193, 577}) {
    SCOPED_TRACE(testing::Message() << "order " << order);
    const Matrix64 h = RandomHessian(order, 37);
    const auto h_float = ToFloat(h);
    std::vector<float> upper = h_float;  // what lies below the diagonal is not read
    for (std::int64_t r = 0; r < order; ++r) {
      for (std::int64_t c = 0; c < r; ++c) upper[r * order + c] = std::numeric_limits<float>::quiet_NaN();
    }

    const auto v = std::get<0>(OnEveryThreadCount([&](Backend& b) {
      const GuardedMatrix<float> h_device(b, order, order, upper);
      EXPECT_TRUE(b.quant().ReversedCholesky(h_device.view()).ok());
      return std::make_tuple(h_device.Read());
    }));

    std::vector<double> expected, scales;
    std::vector<float> product;
    for (std::int64_t r = 0; r < order; ++r) {
      for (std::int64_t c = 0; c < order; ++c) {
        if (c < r) {
          ASSERT_EQ(v[r * order + c], 0.0f);
        }
        double sum = 0;
        for (std::int64_t i = std::max(r, c); i < order; ++i)
          sum += static_cast<double>(v[r * order + i]) * v[c * order + i];
        product.push_back(static_cast<float>(sum));
        expected.push_back(h_float[r * order + c]);
        scales.push_back(std::sqrt(h(r, r) * h(c, c)));
      }
    }
    EXPECT_TRUE(CloseBy(product, expected, scales,
                        {4 * kFloatRoundoff, "factor computed in f64, its elements rounded to f32"}));
  }
}

TEST_P(LinearAlgebraConformance, ReversedCholeskyRefusesWhatIsNotPositiveDefinite) {
  for (std::int64_t bad : {0, 150, 399}) {
    for (float value : {-1.0f, 0.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      SCOPED_TRACE(testing::Message() << "diagonal element " << bad << " = " << value);
      std::vector<float> h(400 * 400);
      for (std::int64_t i = 0; i < 400; ++i) h[i * 401] = i == bad ? value : 1.0f;
      const GuardedMatrix<float> h_device(backend(), 400, 400, h);

      EXPECT_EQ(backend().quant().ReversedCholesky(h_device.view()).code(), absl::StatusCode::kFailedPrecondition);
    }
  }
}

TEST_P(LinearAlgebraConformance, NormalizeBlockColumnsMakesDiagonalBlocksTheIdentity) {
  for (int d : {1, 2, 4}) {
    for (std::int64_t order : {0, 4, 96, 200}) {
      SCOPED_TRACE(testing::Message() << "order " << order << " d " << d);
      Matrix64 v = ReversedCholesky64(RandomHessian(order, 38));
      for (double& value : v.values) value = static_cast<float>(value);

      const auto m = OnEveryThreadCount([&](Backend& b) {
        const GuardedMatrix<float> v_device(b, order, order, ToFloat(v));
        const GuardedMatrix<float> m_device(b, order, order);
        EXPECT_TRUE(b.quant().NormalizeBlockColumns(v_device.view(), d, m_device.view()).ok());
        return std::make_tuple(m_device.Read());
      });

      const Matrix64 expected = NormalizeBlockColumns64(v, d);
      std::vector<double> scales;
      for (std::int64_t r = 0; r < order; ++r) {
        for (std::int64_t c = 0; c < order; ++c) scales.push_back(r / d >= c / d ? 0.0 : 1.0);
      }
      std::vector<double> exact = expected.values;
      for (std::int64_t r = 0; r < order; ++r) {
        for (std::int64_t c = 0; c < order; ++c) {
          if (r / d >= c / d) exact[r * order + c] = r == c;
        }
      }
      EXPECT_TRUE(
          CloseBy(std::get<0>(m), exact, scales, {64 * kFloatRoundoff, "a triangular solve of order 4 at most"}));
    }
  }
}

TEST_P(LinearAlgebraConformance, ElementwiseOperationsMatch) {
  const std::int64_t rows = 45, cols = 131;
  const auto a = TestRandom(39).Normals(rows * cols), b = TestRandom(40).Normals(rows * cols);

  const auto [sum, dots, maxima] = OnEveryThreadCount([&](Backend& backend) {
    const GuardedMatrix<float> a_device(backend, rows, cols, a), b_device(backend, rows, cols, b);
    std::vector<double> dots(rows, std::numeric_limits<double>::quiet_NaN());
    EXPECT_TRUE(backend.quant().RowDots(a_device.view(), b_device.view(), absl::MakeSpan(dots)).ok());
    const GuardedMatrix<float> maxima(backend, rows, 5);  // blocks of 32 columns, the last of 3
    EXPECT_TRUE(backend.quant().BlockAbsMax(a_device.view(), 32, maxima.view()).ok());
    EXPECT_TRUE(backend.quant().Axpby(0.5f, a_device.view(), -2.0f, b_device.view()).ok());
    return std::make_tuple(b_device.Read(), dots, maxima.Read());
  });

  std::vector<double> expected_sum, scales;
  for (std::size_t i = 0; i < a.size(); ++i) {
    expected_sum.push_back(0.5 * a[i] - 2.0 * b[i]);
    scales.push_back(0.5 * std::fabs(a[i]) + 2.0 * std::fabs(b[i]));
  }
  EXPECT_TRUE(CloseBy(sum, expected_sum, scales, {2 * kFloatRoundoff, "two roundings"}));
  for (std::int64_t r = 0; r < rows; ++r) {
    double dot = 0, magnitude = 0;
    std::vector<float> largest(5);
    for (std::int64_t c = 0; c < cols; ++c) {
      dot += static_cast<double>(a[r * cols + c]) * b[r * cols + c];
      magnitude += std::fabs(static_cast<double>(a[r * cols + c]) * b[r * cols + c]);
      largest[c / 32] = std::max(largest[c / 32], std::fabs(a[r * cols + c]));
    }
    EXPECT_NEAR(dots[r], dot, 131 * 0x1.0p-53 * magnitude);
    EXPECT_EQ(std::vector<float>(maxima.begin() + r * 5, maxima.begin() + r * 5 + 5), largest);
  }
}

TEST_P(LinearAlgebraConformance, RefusesShapesThatDoNotFit) {
  const GuardedMatrix<float> a(backend(), 3, 4), square(backend(), 3, 3);
  const GuardedTensor x(backend(), 2, 4);
  QuantOps& ops = backend().quant();
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  std::vector<double> dots(2);

  EXPECT_EQ(ops.AccumulateHessian(x.view(), square.view()).status().code(), kInvalid);
  EXPECT_EQ(ops.Symmetrize(a.view()).code(), kInvalid);
  EXPECT_EQ(ops.ReversedCholesky(a.view()).code(), kInvalid);
  EXPECT_EQ(ops.NormalizeBlockColumns(square.view(), 2, square.view()).code(), kInvalid);
  EXPECT_EQ(ops.MatMul(1, a.view(), Transpose::kNo, a.view(), Transpose::kNo, 0, square.view()).code(), kInvalid);
  EXPECT_EQ(ops.Axpby(1, a.view(), 1, square.view()).code(), kInvalid);
  EXPECT_EQ(ops.RowDots(a.view(), a.view(), absl::MakeSpan(dots)).code(), kInvalid);
  EXPECT_EQ(ops.BlockAbsMax(a.view(), 2, square.view()).code(), kInvalid);
}

INSTANTIATE_TEST_SUITE_P(Backends, LinearAlgebraConformance, testing::ValuesIn(BackendFactories()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptvq

#include "core/cpu/sgemm.h"

#include <cmath>

#include "gtest/gtest.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

TEST(Sgemm, PanelsHoldTheOperandAndZeros) {
  const std::vector<float> values = TestRandom(1).Normals(7 * 50);
  const MatrixView<const float> matrix(values.data(), 7, 50);
  const std::int64_t width = MicroPanel().cols;
  const std::int64_t panels = (50 + width - 1) / width;
  std::vector<float> packed(panels * 7 * width, std::nanf(""));

  PackRight({matrix, Transpose::kNo}, packed.data());

  for (std::int64_t col = 0; col < panels * width; ++col) {
    for (std::int64_t k = 0; k < 7; ++k) {
      ASSERT_EQ(packed[col / width * 7 * width + k * width + col % width], col < 50 ? matrix.at(k, col) : 0.0f);
    }
  }
}

// More columns and a longer sum than are packed at a time; the smallest shapes that are.
TEST(Sgemm, PiecesOfTheRightOperandAddUp) {
  WorkerPool pool(2);
  Sgemm sgemm(pool);
  for (auto [inner, cols] : {std::pair<std::int64_t, std::int64_t>{600, 4200}, {1500, 1600}, {257, 769}}) {
    const std::int64_t rows = 13;
    const std::vector<float> a = TestRandom(2).Normals(rows * inner), b = TestRandom(3).Normals(inner * cols);
    std::vector<float> c(rows * cols, std::nanf(""));

    sgemm.Multiply(2.0f, {MatrixView<const float>(a.data(), rows, inner), Transpose::kNo},
                   {MatrixView<const float>(b.data(), inner, cols), Transpose::kNo}, 0.0f,
                   MatrixView<float>(c.data(), rows, cols));

    std::vector<double> expected(rows * cols), scales(rows * cols);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t k = 0; k < inner; ++k) {
        for (std::int64_t col = 0; col < cols; ++col) {
          const double term = 2.0 * a[r * inner + k] * b[k * cols + col];
          expected[r * cols + col] += term;
          scales[r * cols + col] += std::fabs(term);
        }
      }
    }
    EXPECT_TRUE(CloseBy(c, expected, scales, {static_cast<double>(inner) * kFloatRoundoff, "length of the sum"}));
  }
}

TEST(Sgemm, UpperRegionLeavesTheRestAlone) {
  WorkerPool pool(1);
  Sgemm sgemm(pool);
  const std::int64_t order = 801;  // two tiles of columns, the diagonal crosses panels everywhere
  const std::vector<float> a = TestRandom(4).Normals(5 * order);
  const Operand left = {MatrixView<const float>(a.data(), 5, order), Transpose::kYes};
  const Operand right = {MatrixView<const float>(a.data(), 5, order), Transpose::kNo};
  std::vector<float> all(order * order, 1.0f), upper(order * order, 1.0f);

  sgemm.Multiply(1.0f, left, right, 1.0f, MatrixView<float>(all.data(), order, order));
  sgemm.Multiply(1.0f, left, right, 1.0f, MatrixView<float>(upper.data(), order, order), Region::kUpper);

  for (std::int64_t r = 0; r < order; ++r) {
    for (std::int64_t c = 0; c < order; ++c) {
      ASSERT_EQ(upper[r * order + c], c < r ? 1.0f : all[r * order + c]) << r << " " << c;
    }
  }
}

}  // namespace
}  // namespace gptvq

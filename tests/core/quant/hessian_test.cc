#include "core/quant/hessian.h"

#include <limits>
#include <string>

#include "core/base/matrix_view.h"
#include "gtest/gtest.h"
#include "tests/core/quant/dense_math.h"
#include "tests/core/quant/layer_case.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

constexpr std::int64_t kCols = 37;

// Rows of random inputs, as a batch in backend memory.
DeviceTensor Upload(Backend& backend, const std::vector<float>& values) {
  const auto rows = static_cast<std::int64_t>(values.size()) / kCols;
  return DeviceTensor::FromHost(backend, MatrixView<const float>(values.data(), rows, kCols)).value();
}

TEST(HessianAccumulator, SumsBatchesToTheSecondMoment) {
  const auto backend = CpuForTests();
  const std::vector<float> first = TestRandom(1).Normals(50 * kCols);
  const std::vector<float> second = TestRandom(2).Normals(70 * kCols);
  auto accumulator = HessianAccumulator::Make(*backend, kCols).value();

  ASSERT_TRUE(accumulator.Add(Upload(*backend, first).view()).ok());
  ASSERT_TRUE(accumulator.Add(Upload(*backend, second).view()).ok());
  EXPECT_EQ(accumulator.token_count(), 120);
  const Hessian hessian = std::move(accumulator).Finish().value();

  const Dense x1(50, kCols, first);
  const Dense x2(70, kCols, second);
  Dense expected = Product(Transposed(x1), x1);
  const Dense rest = Product(Transposed(x2), x2);
  for (std::size_t i = 0; i < expected.values.size(); ++i) expected.values[i] += rest.values[i];
  EXPECT_TRUE(Close(hessian.matrix.ToHost(*backend).value(), expected.values,
                    {120 * kFloatRoundoff, "f32 sums of 120 products"}));
  EXPECT_EQ(hessian.token_count, 120);
  EXPECT_EQ(hessian.skipped_rows, 0);
}

TEST(HessianAccumulator, LeavesOutAndCountsRowsThatAreNotFinite) {
  const auto backend = CpuForTests();
  const std::int64_t rows = 2000;
  std::vector<float> values = TestRandom(3).Normals(rows * kCols);
  std::vector<float> without = values;
  values[5 * kCols + 3] = std::numeric_limits<float>::quiet_NaN();
  values[1999 * kCols] = -std::numeric_limits<float>::infinity();
  for (std::int64_t c = 0; c < kCols; ++c) without[5 * kCols + c] = without[1999 * kCols + c] = 0;
  auto accumulator = HessianAccumulator::Make(*backend, kCols).value();

  ASSERT_TRUE(accumulator.Add(Upload(*backend, values).view()).ok());
  const Hessian hessian = std::move(accumulator).Finish().value();

  EXPECT_EQ(hessian.skipped_rows, 2);
  const Dense x(rows, kCols, without);
  EXPECT_TRUE(Close(hessian.matrix.ToHost(*backend).value(), Product(Transposed(x), x).values,
                    {rows * kFloatRoundoff, "f32 sums of 2000 products"}));
}

TEST(HessianAccumulator, RefusesWhenMoreThanOneRowInAThousandIsNotFinite) {
  const auto backend = CpuForTests();
  std::vector<float> values = TestRandom(4).Normals(999 * kCols);
  values[7] = std::numeric_limits<float>::infinity();
  auto accumulator = HessianAccumulator::Make(*backend, kCols).value();
  ASSERT_TRUE(accumulator.Add(Upload(*backend, values).view()).ok());

  const absl::Status status = std::move(accumulator).Finish().status();

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("1 of 999"), std::string::npos) << status;
}

TEST(HessianAccumulator, RefusesToFinishWithoutATokenAndInputsOfAnotherWidth) {
  const auto backend = CpuForTests();
  auto accumulator = HessianAccumulator::Make(*backend, kCols + 1).value();

  EXPECT_EQ(accumulator.Add(Upload(*backend, TestRandom(5).Normals(kCols)).view()).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::move(accumulator).Finish().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(HessianFromHost, TakesTheMeanOfTheTriangles) {
  const auto backend = CpuForTests();
  const std::vector<float> values = {4, 1, 1 + 0x1p-10f, 9};

  const Hessian hessian = HessianFromHost(*backend, MatrixView<const float>(values.data(), 2, 2)).value();

  EXPECT_EQ(hessian.matrix.ToHost(*backend).value(), (std::vector<float>{4, 1 + 0x1p-11f, 1 + 0x1p-11f, 9}));
}

TEST(HessianFromHost, NamesWhatIsWrongAndWhere) {
  const auto backend = CpuForTests();
  const auto message = [&](std::vector<float> values, std::int64_t rows, std::int64_t cols) {
    const auto hessian = HessianFromHost(*backend, MatrixView<const float>(values.data(), rows, cols));
    EXPECT_EQ(hessian.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(hessian.status().message());
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();

  EXPECT_NE(message({1, 2, 3, 4, 5, 6}, 2, 3).find("2 x 3"), std::string::npos);
  EXPECT_NE(message({1, 0, nan, 1}, 2, 2).find("row 1, column 0"), std::string::npos);
  EXPECT_NE(message({1, 0, 0, -1}, 2, 2).find("-1 at row 1, column 1"), std::string::npos);
  EXPECT_NE(message({1, 0.5f, 0.4f, 1}, 2, 2).find("not symmetric"), std::string::npos);
}

}  // namespace
}  // namespace gptvq

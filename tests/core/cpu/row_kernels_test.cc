#include "core/cpu/row_kernels.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/test_random.h"

namespace gptvq {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Lengths around whole vectors of every instruction set.
const std::int64_t kLengths[] = {0, 1, 3, 4, 15, 16, 17, 31, 33, 100};

TEST(RowKernels, MaximumAndMagnitudeLookAtEveryElement) {
  for (std::int64_t count : kLengths) {
    for (std::int64_t place = 0; place < count; ++place) {
      std::vector<float> x(count, -3.0f);
      x[place] = -1.0f;
      ASSERT_EQ(RowMax(x.data(), count), -1.0f) << count << " " << place;
      x[place] = -5.0f;
      ASSERT_EQ(RowAbsMax(x.data(), count), 5.0f) << count << " " << place;
    }
  }
  EXPECT_EQ(RowMax(nullptr, 0), -kInfinity);
  EXPECT_EQ(RowAbsMax(nullptr, 0), 0.0f);
}

TEST(RowKernels, OneNumberThatIsNotFiniteIsFoundAnywhere) {
  for (std::int64_t count : kLengths) {
    std::vector<float> x(count, 3e38f);  // their sum overflows, they do not
    ASSERT_TRUE(RowIsFinite(x.data(), count));
    for (std::int64_t place = 0; place < count; ++place) {
      for (float bad : {std::nanf(""), kInfinity, -kInfinity}) {
        std::vector<float> y = x;
        y[place] = bad;
        ASSERT_FALSE(RowIsFinite(y.data(), count)) << count << " " << place << " " << bad;
      }
    }
  }
}

TEST(RowKernels, ExponentialsAndTheirSumMatchTheLibrary) {
  TestRandom random(1);
  for (std::int64_t count : kLengths) {
    std::vector<float> x = random.Uniforms(count, -90, 0);
    if (count > 2) x[1] = -1e30f;
    std::vector<double> expected;
    double expected_sum = 0;
    for (float value : x) expected_sum += expected.emplace_back(std::exp(static_cast<double>(value)));
    for (float& value : x) value += 0.0f;

    const float sum = ExpRow(x.data(), count, 0.0f);

    EXPECT_NEAR(sum, expected_sum, 1e-6 * expected_sum);
    for (std::int64_t i = 0; i < count; ++i) ASSERT_NEAR(x[i], expected[i], 3e-7 * expected[i] + 1e-38);
  }
}

TEST(RowKernels, DotProductsAreSummedInDouble) {
  std::vector<float> a(1001, 1.0f), b(1001, 1e-5f);
  a[500] = 1e8f;
  b[500] = 1.0f;

  EXPECT_NEAR(RowDot(a.data(), b.data(), 1001), 1e8 + 1000 * static_cast<double>(1e-5f), 1e-6);
}

TEST(RowKernels, NamesTheInstructionSet) {
  const std::string name = InstructionSet();

  EXPECT_TRUE(name == "SSE4" || name == "AVX2" || name == "AVX3" || name == "NEON") << name;
}

}  // namespace
}  // namespace gptvq

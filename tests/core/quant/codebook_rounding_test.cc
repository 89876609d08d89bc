#include "core/quant/codebook_rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/dtype.h"
#include "gtest/gtest.h"
#include "tests/support/test_random.h"

namespace gptvq {
namespace {

TEST(RoundToInt8, IsOffByAtMostHalfACodeAndUsesAScaleThatBf16Holds) {
  for (double magnitude : {1e-30, 1e-3, 1.0, 3e4, 1e30}) {
    std::vector<float> values = TestRandom(1).Normals(128, magnitude);
    const std::vector<float> before = values;
    std::vector<std::int8_t> codes(values.size());

    const float scale = RoundToInt8(absl::MakeSpan(values), absl::MakeSpan(codes));

    EXPECT_EQ(Bf16ToFloat(FloatToBf16(scale)), scale);
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(values[i], static_cast<float>(codes[i]) * scale);
      EXPECT_LE(std::abs(values[i] - before[i]), 0.5001f * scale);
    }
    EXPECT_GE(*std::max_element(codes.begin(), codes.end()) - *std::min_element(codes.begin(), codes.end()), 126)
        << "the range of codes is used";
  }
}

TEST(RoundToInt8, MakesZerosOfACodebookTooSmallForItsScale) {
  for (float value : {0.0f, 1e-40f, -1e-42f}) {
    std::vector<float> values(8, value);
    std::vector<std::int8_t> codes(8, 77);

    EXPECT_EQ(RoundToInt8(absl::MakeSpan(values), absl::MakeSpan(codes)), 0.0f);

    EXPECT_EQ(values, std::vector<float>(8, 0.0f));
    EXPECT_EQ(codes, std::vector<std::int8_t>(8, 0));
  }
}

TEST(RoundToHalf, SaturatesInsteadOfBecomingInfinite) {
  std::vector<float> values = {1.0f, -1e6f, 1e30f, 0.333333f};
  std::vector<std::uint16_t> entries(4);

  RoundToHalf(absl::MakeSpan(values), absl::MakeSpan(entries));

  EXPECT_EQ(values[0], 1.0f);
  EXPECT_EQ(values[1], -65504.0f);
  EXPECT_EQ(values[2], 65504.0f);
  EXPECT_NEAR(values[3], 0.333333, 0.333333 * 0x1p-11);
}

TEST(StoredCodebooks, CopyOneGroupAndLeaveTheOthers) {
  for (CodebookDType dtype : {CodebookDType::kInt8, CodebookDType::kFp16}) {
    StoredCodebooks source = MakeStoredCodebooks(dtype, 3, 4);
    StoredCodebooks target = MakeStoredCodebooks(dtype, 3, 4);
    for (std::int64_t g = 0; g < 3; ++g) {
      std::vector<float> ones(4, 1.0f + static_cast<float>(g));
      RoundCodebook(g, absl::MakeSpan(ones), source);
    }

    CopyStoredCodebook({1, 1}, 4, source, target);

    VectorQuantizedLinear linear;
    QuantSpec spec;
    spec.group_weights = 16;
    spec.columns_per_group = 16;
    linear.layout = GroupLayout::Make(3, 16, spec).value();
    linear.vector_dim = 2;
    linear.index_bits = 1;
    linear.codebooks = target;
    const std::vector<float> decoded = linear.DecodedCodebooks();
    for (std::int64_t i = 0; i < 12; ++i) EXPECT_NEAR(decoded[i], i / 4 == 1 ? 2.0 : 0.0, 0.01) << i;
  }
}

}  // namespace
}  // namespace gptvq

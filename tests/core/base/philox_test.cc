#include "core/base/philox.h"

#include "gtest/gtest.h"

namespace gptvq {
namespace {

// Known answers distributed with Random123 (kat_vectors, philox4x32 10 rounds).
TEST(Philox, MatchesThePublishedVectors) {
  using Block = std::array<std::uint32_t, 4>;
  EXPECT_EQ(Philox(0, 0).Draw(0), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox(~0ull, ~0ull).Draw(~0ull), (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox(0x299f31d0a4093822ull, 0x0370734413198a2eull).Draw(0x85a308d3243f6a88ull),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformHasTheMeanAndVarianceOfTheUnitInterval) {
  const Philox philox(42, Philox::StreamOf("model.layers.0.self_attn.q_proj", 3));
  constexpr int kDraws = 100000;
  double sum = 0;
  double square_sum = 0;
  for (int n = 0; n < kDraws; ++n) {
    const double u = philox.Uniform(n);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    square_sum += u * u;
  }
  const double mean = sum / kDraws;
  EXPECT_NEAR(mean, 0.5, 5 * 0.2887 / 316.2);  // five standard errors
  EXPECT_NEAR(square_sum / kDraws - mean * mean, 1.0 / 12, 0.002);
}

TEST(Philox, StreamsDifferByNameAndByIndex) {
  EXPECT_NE(Philox::StreamOf("a", 0), Philox::StreamOf("a", 1));
  EXPECT_NE(Philox::StreamOf("a"), Philox::StreamOf("b"));
}

}  // namespace
}  // namespace gptvq

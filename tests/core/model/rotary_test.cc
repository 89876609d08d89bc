#include "core/model/rotary.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <utility>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

ModelConfig ConfigWith(int head_dim, double theta, std::int64_t max_positions, const RopeScaling& scaling) {
  ModelConfig config;
  config.head_dim = head_dim;
  config.rope_theta = theta;
  config.max_positions = max_positions;
  config.rope_scaling = scaling;
  return config;
}

RopeScaling Llama31Scaling() {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kLlama3;
  scaling.factor = 8;
  scaling.low_freq_factor = 1;
  scaling.high_freq_factor = 4;
  scaling.original_positions = 8192;
  return scaling;
}

RopeScaling Qwen25YarnScaling() {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kYarn;
  scaling.factor = 4;
  scaling.original_positions = 32768;
  scaling.attention_factor = 1.25;
  scaling.beta_fast = 32;
  scaling.beta_slow = 1;
  return scaling;
}

using PairValues = std::vector<std::pair<int, double>>;  // index of the pair, radians per position

// Published implementations compute in f32: three roundings of 2^-24 through a power.
void ExpectFrequencies(const ModelConfig& config, const PairValues& expected) {
  const std::vector<double> frequencies = RotaryFrequencies(config);
  ASSERT_EQ(frequencies.size(), config.head_dim / 2);
  for (const auto& [pair, value] : expected) EXPECT_NEAR(frequencies[pair] / value, 1, 1e-6) << "pair " << pair;
}

TEST(RotaryFrequencies, ArePowersOfTheta) {
  const std::vector<double> frequencies = RotaryFrequencies(ConfigWith(8, 10000, 2048, {}));

  ASSERT_EQ(frequencies.size(), 4);
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(frequencies[i] * std::pow(10.0, i), 1, 1e-15) << i;
}

TEST(RotaryFrequencies, OfLinearScalingAreDivided) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kLinear;
  scaling.factor = 2.5;

  const std::vector<double> frequencies = RotaryFrequencies(ConfigWith(8, 10000, 2048, scaling));

  for (int i = 0; i < 4; ++i) EXPECT_NEAR(frequencies[i] * 2.5 * std::pow(10.0, i), 1, 1e-15) << i;
}

TEST(RotaryFrequencies, OfDynamicScalingStayWithinTheOriginalContext) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::kDynamic;
  scaling.factor = 2.5;

  EXPECT_EQ(RotaryFrequencies(ConfigWith(8, 10000, 2048, scaling)), RotaryFrequencies(ConfigWith(8, 10000, 2048, {})));
}

// Hugging Face's modeling_rope_utils.py, release 4.46, for Llama-3.1-8B: pairs of every wavelength, among them the
// first and last of the mixed ones, 29 and 34.
TEST(RotaryFrequencies, OfLlama31AreThePublishedOnes) {
  ExpectFrequencies(ConfigWith(128, 500000, 131072, Llama31Scaling()), {{0, 1.0},
                                                                        {1, 0.814617217},
                                                                        {28, 0.00321144611},
                                                                        {29, 0.00216657063},
                                                                        {30, 0.00137189368},
                                                                        {33, 0.00031269365},
                                                                        {34, 0.000178507791},
                                                                        {35, 9.55621217e-05},
                                                                        {36, 7.78465546e-05},
                                                                        {63, 3.06892588e-07}});
}

TEST(RotaryFrequencies, OfLlama31MeetAtTheEdgesOfTheMixedRange) {
  RopeScaling scaling = Llama31Scaling();
  const double context = static_cast<double>(scaling.original_positions);
  // Pair 1 of 2 has the frequency 1 / sqrt(theta); theta is chosen so that it makes exactly 4 turns, then 1.
  const auto frequency_at = [&](double turns) {
    const double frequency = 2 * std::numbers::pi * turns / context;
    return RotaryFrequencies(ConfigWith(4, 1 / (frequency * frequency), 131072, scaling))[1] / frequency;
  };

  EXPECT_NEAR(frequency_at(4), 1, 1e-12);
  EXPECT_NEAR(frequency_at(1), 1 / 8.0, 1e-12);
  EXPECT_NEAR(frequency_at(2.5), (1 + 1 / 8.0) / 2, 1e-12);
}

// The same source for Qwen2.5-7B with the scaling its model card recommends: the ramp goes from pair 23 to pair 40.
TEST(RotaryFrequencies, OfYarnAreThePublishedOnes) {
  ExpectFrequencies(ConfigWith(128, 1e6, 32768, Qwen25YarnScaling()), {{0, 1.0},
                                                                       {1, 0.805842221},
                                                                       {22, 0.00865964312},
                                                                       {23, 0.00697830599},
                                                                       {24, 0.00537532149},
                                                                       {30, 0.00106436096},
                                                                       {39, 6.4903943e-05},
                                                                       {40, 4.44569851e-05},
                                                                       {41, 3.58253164e-05},
                                                                       {63, 3.10234441e-07}});
}

TEST(RotaryFrequencies, OfYarnAreFiniteWhereTheRampHasNoLength) {
  RopeScaling scaling = Qwen25YarnScaling();
  scaling.original_positions = 1;  // no pair makes a turn: both ends of the ramp are pair 0

  for (double frequency : RotaryFrequencies(ConfigWith(64, 10000, 64, scaling))) {
    EXPECT_TRUE(std::isfinite(frequency) && frequency > 0) << frequency;
  }
}

TEST(RotaryTables, HoldCosinesAndSinesRoundedOnce) {
  const auto backend = MakeCpuBackend({});
  const ModelConfig config = ConfigWith(64, 10000, 8192, Qwen25YarnScaling());
  const std::vector<double> frequencies = RotaryFrequencies(config);

  const auto tables = RotaryTables::Create(*backend, config, 8192);

  ASSERT_TRUE(tables.ok()) << tables.status();
  ASSERT_EQ(tables->cosines.rows(), 8192);
  ASSERT_EQ(tables->cosines.cols(), 32);
  for (std::int64_t position : {0, 1, 77, 8191}) {
    for (int i = 0; i < 32; ++i) {
      // The product of the angle is rounded to f64: 2^-53 of at most 8192 radians, far below half a unit of f32.
      const long double angle = static_cast<long double>(position) * frequencies[i];
      const double unit = std::numeric_limits<float>::epsilon() / 2 * 1.25;
      EXPECT_NEAR(tables->cosines.view().at(position, i), static_cast<double>(1.25L * std::cos(angle)), unit);
      EXPECT_NEAR(tables->sines.view().at(position, i), static_cast<double>(1.25L * std::sin(angle)), unit);
    }
  }
}

TEST(RotaryTables, RefuseSequencesBeyondTheModelsPositions) {
  const auto backend = MakeCpuBackend({});
  const ModelConfig config = ConfigWith(64, 10000, 100, {});

  EXPECT_TRUE(RotaryTables::Create(*backend, config, 100).ok());
  EXPECT_EQ(RotaryTables::Create(*backend, config, 101).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace gptvq

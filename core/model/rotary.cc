#include "core/model/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

double Llama3Frequency(double frequency, const RopeScaling& scaling) {
  const double turns = static_cast<double>(scaling.original_positions) * frequency / kTwoPi;  // in the original context
  if (turns > scaling.high_freq_factor) return frequency;
  if (turns < scaling.low_freq_factor) return frequency / scaling.factor;
  const double share = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - share) * frequency / scaling.factor + share * frequency;
}

// The pair, a real number, whose angle makes `turns` turns within the original context.
double YarnPair(const ModelConfig& config, double turns) {
  const double context = static_cast<double>(config.rope_scaling.original_positions);
  return config.head_dim * std::log(context / (turns * kTwoPi)) / (2 * std::log(config.rope_theta));
}

void ScaleByYarn(const ModelConfig& config, std::vector<double>& frequencies) {
  const RopeScaling& scaling = config.rope_scaling;
  const double low = std::max(std::floor(YarnPair(config, scaling.beta_fast)), 0.0);
  double high = std::min(std::ceil(YarnPair(config, scaling.beta_slow)), config.head_dim - 1.0);
  if (high == low) high += 1e-3;  // as the published code does against a division by zero
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = ramp * frequencies[i] / scaling.factor + (1 - ramp) * frequencies[i];
  }
}

}  // namespace

std::vector<double> RotaryFrequencies(const ModelConfig& config) {
  std::vector<double> frequencies(config.head_dim / 2);
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / config.head_dim);
  }
  const RopeScaling& scaling = config.rope_scaling;
  switch (scaling.kind) {
    case RopeScaling::Kind::kNone:
    case RopeScaling::Kind::kDynamic: break;
    case RopeScaling::Kind::kLinear:
      for (double& frequency : frequencies) frequency /= scaling.factor;
      break;
    case RopeScaling::Kind::kLlama3:
      for (double& frequency : frequencies) frequency = Llama3Frequency(frequency, scaling);
      break;
    case RopeScaling::Kind::kYarn: ScaleByYarn(config, frequencies); break;
  }
  return frequencies;
}

absl::StatusOr<RotaryTables> RotaryTables::Create(Backend& backend, const ModelConfig& config,
                                                  std::int64_t sequence_length) {
  GPTVQ_CHECK(sequence_length > 0);
  if (sequence_length > config.max_positions) {
    return absl::InvalidArgumentError(absl::StrCat("sequences of ", sequence_length, " tokens: the model has ",
                                                   config.max_positions, " positions (max_position_embeddings)"));
  }
  const std::vector<double> frequencies = RotaryFrequencies(config);
  const std::size_t pairs = frequencies.size();
  const double amplitude = config.rope_scaling.attention_factor;
  std::vector<float> cosines(sequence_length * pairs);
  std::vector<float> sines(sequence_length * pairs);
  for (std::int64_t position = 0; position < sequence_length; ++position) {
    for (std::size_t i = 0; i < pairs; ++i) {
      const double angle = static_cast<double>(position) * frequencies[i];
      cosines[position * pairs + i] = static_cast<float>(amplitude * std::cos(angle));
      sines[position * pairs + i] = static_cast<float>(amplitude * std::sin(angle));
    }
  }
  const auto cols = static_cast<std::int64_t>(pairs);
  RotaryTables tables;
  GPTVQ_ASSIGN_OR_RETURN(tables.cosines, DeviceMatrix<float>::FromHost(backend, cosines.data(), sequence_length, cols));
  GPTVQ_ASSIGN_OR_RETURN(tables.sines, DeviceMatrix<float>::FromHost(backend, sines.data(), sequence_length, cols));
  return tables;
}

}  // namespace gptvq

#include "tests/support/test_random.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "core/base/philox.h"

namespace gptvq {

std::uint64_t TestSeed() {
  static const std::uint64_t seed = [] {
    const char* text = std::getenv("GPTVQ_TEST_SEED");
    const std::uint64_t value = text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
    std::printf("random input: GPTVQ_TEST_SEED=%llu\n", static_cast<unsigned long long>(value));
    return value;
  }();
  return seed;
}

double TestRandom::Uniform() { return Philox(TestSeed(), stream_).Uniform(next_++); }

double TestRandom::Normal() {
  const double radius = std::sqrt(-2 * std::log(1 - Uniform()));  // Box and Muller 1958
  return radius * std::cos(6.283185307179586 * Uniform());
}

std::int64_t TestRandom::Below(std::int64_t bound) {
  return static_cast<std::int64_t>(Uniform() * static_cast<double>(bound));
}

std::vector<float> TestRandom::Normals(std::int64_t count, double deviation) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(deviation * Normal());
  return values;
}

std::vector<float> TestRandom::Uniforms(std::int64_t count, double low, double high) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(low + (high - low) * Uniform());
  return values;
}

std::vector<std::uint8_t> TestRandom::Bytes(std::int64_t count, int bound) {
  std::vector<std::uint8_t> values(static_cast<std::size_t>(count));
  for (std::uint8_t& value : values) value = static_cast<std::uint8_t>(Below(bound));
  return values;
}

}  // namespace gptvq

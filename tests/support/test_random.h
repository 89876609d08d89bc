#ifndef GPTVQ_TESTS_SUPPORT_TEST_RANDOM_H_
#define GPTVQ_TESTS_SUPPORT_TEST_RANDOM_H_

#include <cstdint>
#include <vector>

namespace gptvq {

// The seed of all random input of this test program: 1, or GPTVQ_TEST_SEED. Printed once when it is first asked for.
std::uint64_t TestSeed();

// Random numbers for tests, by value: the same name gives the same numbers. Thread-compatible.
class TestRandom {
 public:
  explicit TestRandom(std::uint64_t stream) : stream_(stream) {}

  double Uniform();                        // [0, 1)
  double Normal();                         // mean 0, variance 1
  std::int64_t Below(std::int64_t bound);  // 0 .. bound - 1; bound > 0

  std::vector<float> Normals(std::int64_t count, double deviation = 1.0);
  std::vector<float> Uniforms(std::int64_t count, double low, double high);
  std::vector<std::uint8_t> Bytes(std::int64_t count, int bound);  // each below `bound`

 private:
  std::uint64_t stream_;
  std::uint64_t next_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_TEST_RANDOM_H_

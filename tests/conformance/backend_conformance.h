#ifndef GPTVQ_TESTS_CONFORMANCE_BACKEND_CONFORMANCE_H_
#define GPTVQ_TESTS_CONFORMANCE_BACKEND_CONFORMANCE_H_

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "core/backend/backend.h"
#include "gtest/gtest.h"

namespace gptvq {

// How a backend under test is made. `thread_count` is what a backend without threads of its own ignores.
struct BackendFactory {
  std::string name;
  std::function<std::unique_ptr<Backend>(int thread_count)> make;
};

// Every backend that this build and this machine can run. Defined in backend_factories.cc.
std::vector<BackendFactory> BackendFactories();

// The suite every backend must pass: each test computes its expectation in float64 by itself. Outputs are poisoned with
// NaN and lie inside larger poisoned matrices, whose rest must stay as it was (guarded_matrix.h).
class BackendConformance : public testing::TestWithParam<BackendFactory> {
 protected:
  // Runs `compute` (Backend& -> std::tuple of vectors and numbers) with 1, 2 and 7 threads, expects the results to be equal byte
  // for byte, and returns the first.
  template <typename Compute>
  auto OnEveryThreadCount(Compute compute) {
    auto first = compute(*backends_[0]);
    for (std::size_t i = 1; i < backends_.size(); ++i) {
      EXPECT_TRUE(SameBytes(first, compute(*backends_[i]))) << "result depends on the number of threads";
    }
    return first;
  }

  Backend& backend() { return *backends_[0]; }

 private:
  template <typename T>
  static bool SameBytes(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
  }
  template <typename T>
  requires std::is_arithmetic_v<T>
  static bool SameBytes(T a, T b) { return std::memcmp(&a, &b, sizeof(T)) == 0; }
  template <typename... T>
  static bool SameBytes(const std::tuple<T...>& a, const std::tuple<T...>& b) {
    return SameElements(a, b, std::index_sequence_for<T...>());
  }
  template <typename Tuple, std::size_t... I>
  static bool SameElements(const Tuple& a, const Tuple& b, std::index_sequence<I...>) {
    return (SameBytes(std::get<I>(a), std::get<I>(b)) && ...);
  }

  std::vector<std::unique_ptr<Backend>> backends_ = MakeBackends();

  static std::vector<std::unique_ptr<Backend>> MakeBackends() {
    std::vector<std::unique_ptr<Backend>> backends;
    for (int threads : {1, 2, 7}) backends.push_back(GetParam().make(threads));
    return backends;
  }
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CONFORMANCE_BACKEND_CONFORMANCE_H_

// The conformance suite on the first CUDA device of this machine. Exit codes: 0 passed, 1 failed, 77 skipped
// because no device answers.
#include <cstdio>
#include <string>

#include "core/cuda/cuda_backend.h"
#include "gtest/gtest.h"

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  testing::InitGoogleTest(&argc, argv);
  const auto backend = gptvq::MakeCudaBackend({.device = 0});
  if (!backend.ok()) {
    std::printf("skipped: %s\n", std::string(backend.status().message()).c_str());
    return kSkipped;
  }
  std::printf("%s: %s\n", (*backend)->name().c_str(), (*backend)->numerics_class().c_str());
  return RUN_ALL_TESTS();
}

// The whole recipe over the CUDA backend, on the simulated devices of tests/cuda_simulator, beside the CPU.
#include <vector>

#include "core/cuda/cuda_backend.h"
#include "gtest/gtest.h"
#include "tests/core/quant/layer_case.h"

namespace gptvq {
namespace {

QuantSpec SpecOf(int vector_dim, int index_bits) {
  QuantSpec spec = SmallSpec(vector_dim, index_bits);
  spec.update_iterations = 5;
  spec.refinement_passes = 4;
  return spec;
}

LinearResult QuantizeOnCuda(int device, const LayerCase& layer, const QuantSpec& spec) {
  const auto backend = MakeCudaBackend({.device = device});
  GPTVQ_CHECK(backend.ok());
  absl::StatusOr<LinearResult> result = Quantize(**backend, layer, spec);
  GPTVQ_CHECK(result.ok());
  return *std::move(result);
}

// Choices that are nearly ties fall either way, and what follows differs; the loss does not.
TEST(CudaRecipe, LosesAsMuchAsTheCpu) {
  const LayerCase layer = RandomLayer(50, 160, 11);  // a narrow last stripe, groups of unequal height
  for (const QuantSpec& spec : {SpecOf(1, 3), SpecOf(2, 4), SpecOf(4, 6), SweepOnly(SpecOf(2, 4))}) {
    SCOPED_TRACE(testing::Message() << "d = " << spec.vector_dim << ", " << spec.refinement_passes << " passes");
    const absl::StatusOr<LinearResult> on_cpu = Quantize(*CpuForTests(), layer, spec);
    ASSERT_TRUE(on_cpu.ok());

    const LinearResult on_cuda = QuantizeOnCuda(0, layer, spec);

    EXPECT_NEAR(on_cuda.report.relative_error, on_cpu->report.relative_error, 0.03 * on_cpu->report.relative_error);
    EXPECT_EQ(on_cuda.report.em_iterations > 0, on_cpu->report.em_iterations > 0);
  }
}

TEST(CudaRecipe, GivesTheSameBytesOnDevicesOfEverySizeAndInEveryOrderOfThreads) {
  const LayerCase layer = RandomLayer(50, 160, 12);
  const LinearResult expected = QuantizeOnCuda(0, layer, SpecOf(2, 4));
  for (int device : {0, 1, 2})
    EXPECT_EQ(QuantizeOnCuda(device, layer, SpecOf(2, 4)).dequantized, expected.dequantized) << device;
}

}  // namespace
}  // namespace gptvq

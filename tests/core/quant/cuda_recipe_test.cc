// The whole recipe over the CUDA backend, on the simulated devices of tests/cuda_simulator, beside the CPU.
#include <cmath>
#include <vector>

#include "core/cuda/cuda_backend.h"
#include "core/quant/decode_linear.h"
#include "core/quant/refinement.h"
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

QuantSpec UniformSpec() {
  QuantSpec spec;
  spec.method = QuantMethod::kRtn;
  spec.uniform_bits = 3;
  spec.uniform_group_columns = 64;
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
    EXPECT_EQ(QuantizeOnCuda(device, layer, SpecOf(2, 4)).Dequantized(), expected.Dequantized()) << device;
}

TEST(CudaRecipe, DecodesALinearAsTheHostDoesAndRoundsOnce) {
  const LayerCase layer = RandomLayer(50, 160, 14);
  const auto backend = MakeCudaBackend({.device = 1}).value();
  for (QuantSpec spec : {SweepOnly(SpecOf(2, 4)), SweepOnly(SpecOf(1, 3)), UniformSpec()}) {
    spec.block_scale_columns = spec.method == QuantMethod::kGptvq && spec.vector_dim == 2 ? 16 : 0;
    const LinearResult result = Quantize(*backend, layer, spec).value();
    auto exact = DeviceMatrix<float>::Allocate(*backend, 50, 160).value();
    DeviceTensor rounded = DeviceTensor::Allocate(*backend, 50, 160).value();

    ASSERT_TRUE(DecodeLinear(*backend, result.linear, AsTensor(exact.view())).ok());
    ASSERT_TRUE(DecodeLinear(*backend, result.linear, rounded.view()).ok());

    std::vector<float> expected = result.Dequantized(), read(expected.size());
    EXPECT_EQ(exact.ToHost(*backend).value(), expected);
    for (float& value : expected) value = Bf16ToFloat(FloatToBf16(value));
    ASSERT_TRUE(backend->CopyToHost(rounded.view(), MatrixView<float>(read.data(), 50, 160)).ok());
    EXPECT_EQ(read, expected);
  }
}

// How far the loss that a noisy pass leaves is from the one computed anew, as a share of it. Two blocks of columns.
double ErrorOfLossAfterAPass(ReassignProducts products) {
  const LayerCase layer = RandomLayer(16, 256, 13);
  const QuantSpec spec = SmallSpec(2, 3);
  const auto backend = MakeCudaBackend({.device = 0}).value();
  const PreparedHessian hessian = Prepare(*backend, layer, spec);
  const std::int64_t rows = layer.weights.rows, cols = layer.weights.cols;
  auto weights = DeviceMatrix<float>::FromHost(*backend, layer.narrow.data(), rows, cols).value();
  VectorState state = VectorState::Make(*backend, std::move(weights), spec).value();
  for (std::size_t i = 0; i < state.values.size(); ++i) state.values[i] = 0.05f * static_cast<float>(i % 7) - 0.15f;
  GPTVQ_CHECK(state.RoundCodebooks(*backend, 0, state.layout.group_count()).ok());
  Residual residual = Residual::Allocate(*backend, rows, cols).value();
  Residual scratch = Residual::Allocate(*backend, rows, cols).value();
  GPTVQ_CHECK(residual.Recompute(*backend, hessian, state).ok());
  const double loss_per_weight = residual.Loss() / static_cast<double>(rows * cols);
  const ReassignOptions options = {.noise = 0.1 * loss_per_weight, .noise_key = 5, .products = products};
  GPTVQ_CHECK(ReassignVectors(*backend, hessian, options, state, residual, scratch).value() > 0);

  GPTVQ_CHECK(scratch.Recompute(*backend, hessian, state).ok());
  return std::fabs(residual.Loss() / scratch.Loss() - 1);
}

// Factors of 8 significant bits; errors of opposite signs cancel, so it is less than 2^-8.
TEST(CudaRecipe, ACoarsePassLeavesALossThatIsRightToAFewBitsAndAFullOneToThoseOfF32) {
  const double full = ErrorOfLossAfterAPass(ReassignProducts::kFull);
  const double coarse = ErrorOfLossAfterAPass(ReassignProducts::kCoarse);

  EXPECT_LT(full, 1e-5);
  EXPECT_LT(coarse, 0x1p-8);
  EXPECT_GT(coarse, full) << "bfloat16 is not what it multiplies";
}

}  // namespace
}  // namespace gptvq

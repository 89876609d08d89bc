// A whole model over the CUDA backend, on a simulated device (tests/cuda_simulator), beside the CPU.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/backend/team.h"
#include "core/base/check.h"
#include "core/base/memory_file.h"
#include "core/cpu/cpu_backend.h"
#include "core/cuda/cuda_backend.h"
#include "core/cuda/cuda_team.h"
#include "core/pipeline/evaluate_directory.h"
#include "core/pipeline/memory_plan.h"
#include "core/pipeline/stages.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cuda_simulator/device_memory.h"
#include "tests/support/constant_clock.h"
#include "tests/support/tiny_model.h"

namespace gptvq {
namespace {

constexpr std::int64_t kRows = 4;
constexpr std::int64_t kLength = 40;

class ReportsObserver final : public StageObserver {
 public:
  absl::Status OnProgress(const Progress&) override { return absl::OkStatus(); }
  absl::Status OnLayerQuantized(int, std::string packed, const std::vector<LinearReport>& layer_reports) override {
    layers.push_back(std::move(packed));
    reports.insert(reports.end(), layer_reports.begin(), layer_reports.end());
    return absl::OkStatus();
  }

  std::vector<std::string> layers;
  std::vector<LinearReport> reports;
};

QuantSpec Spec() {
  QuantSpec spec;
  spec.vector_dim = 2;
  spec.index_bits = 4;
  spec.group_weights = 512;
  spec.columns_per_group = 32;
  spec.update_iterations = 3;
  spec.refinement_passes = 1;
  return spec;
}

void QuantizeAll(const Team& team, const SourceModel& source, MatrixView<const std::int32_t> tokens,
                 StageObserver& observer) {
  const ConstantClock clock;
  const StageContext context{team, source, tokens, clock};
  auto embedded = EmbedCalibration(context);
  GPTVQ_CHECK(embedded.ok());
  const auto end =
      QuantizeShard(context, {0, source.config().layer_count}, *std::move(embedded), {.spec = Spec()}, observer);
  EXPECT_TRUE(end.ok()) << end.status();
}

class CudaPipelineTest : public ::testing::Test {
 protected:
  CudaPipelineTest() {
    WriteTinyModel(model_, source_);
    tokens_ = RandomTokens(model_, kRows * kLength, 3);
    auto cuda = MakeCudaBackend({.device = 2});
    GPTVQ_CHECK(cuda.ok());
    cuda_ = *std::move(cuda);
  }

  MatrixView<const std::int32_t> Tokens() const { return {tokens_.data(), kRows, kLength}; }

  double PerplexityOn(Backend& backend) {
    const auto perplexity = EvaluateDirectory(backend, source_, Tokens(), [](double) { return absl::OkStatus(); });
    GPTVQ_CHECK(perplexity.ok());
    return perplexity->value();
  }

  std::vector<LinearReport> QuantizeOn(Backend& backend) {
    const auto source = SourceModel::Open(source_);
    GPTVQ_CHECK(source.ok());
    ReportsObserver observer;
    QuantizeAll(backend, **source, Tokens(), observer);
    return observer.reports;
  }

  const TinyModel model_ = {.layer_count = 2};
  MemoryDirectory source_;
  std::vector<std::int32_t> tokens_;
  std::unique_ptr<Backend> cpu_ = MakeCpuBackend({.thread_count = 1});
  std::unique_ptr<Backend> cuda_;
};

// With the scratch of the kernels. The model is so small that their fixed parts, of some KiB each, show.
TEST_F(CudaPipelineTest, AllocatesNoMoreThanWasPlanned) {
  const auto source = SourceModel::Open(source_);
  ASSERT_TRUE(source.ok());
  const MemoryPlan plan =
      PlanMemory((*source)->config(), Spec(), {.sample_count = kRows, .sequence_length = kLength}, PlannedDevice::kGpu);
  simt::ForgetMemoryPeak();

  QuantizeOn(*cuda_);

  EXPECT_LE(simt::MemoryUse().peak_bytes, plan.device_bytes);
  EXPECT_GE(simt::MemoryUse().peak_bytes, plan.device_bytes / 2);
}

// Activations have 8 significant bits there, and every layer rounds a dozen times.
TEST_F(CudaPipelineTest, ASourceModelHasThePerplexityThatItHasOnTheCpu) {
  EXPECT_NEAR(PerplexityOn(*cuda_) / PerplexityOn(*cpu_), 1.0, 0.01);
}

TEST_F(CudaPipelineTest, EveryLinearLosesAsMuchAsOnTheCpu) {
  const std::vector<LinearReport> on_cpu = QuantizeOn(*cpu_);

  const std::vector<LinearReport> on_cuda = QuantizeOn(*cuda_);

  ASSERT_EQ(on_cuda.size(), 7u * model_.layer_count);
  ASSERT_EQ(on_cuda.size(), on_cpu.size());
  for (std::size_t i = 0; i < on_cuda.size(); ++i) {
    EXPECT_EQ(on_cuda[i].name, on_cpu[i].name);
    EXPECT_NEAR(on_cuda[i].relative_error / on_cpu[i].relative_error, 1.0, 0.1) << on_cuda[i].name;
  }
}

// Devices that differ in size and in the order of their threads, through the interconnect that real ones have. Three chunks of
// calibration rows: two devices have one round more than one of them has chunks.
TEST(CudaTeamPipeline, GivesTheBytesOfOneDevice) {
  constexpr std::int64_t kChunkRows = 17;
  constexpr std::int64_t kChunkLength = 256;  // eight rows a chunk
  const TinyModel model = {.layer_count = 1};
  MemoryDirectory directory;
  WriteTinyModel(model, directory);
  const std::vector<std::int32_t> tokens = RandomTokens(model, kChunkRows * kChunkLength, 3);
  const auto source = SourceModel::Open(directory).value();
  const auto quantize = [&](std::vector<int> devices) {
    const CudaTeam made = MakeCudaTeam({.devices = std::move(devices), .row_unit = 16}).value();
    std::vector<Backend*> borrowed;
    for (const auto& backend : made.backends) borrowed.push_back(backend.get());
    const Team team = borrowed.size() == 1 ? Team(*borrowed.front()) : Team(borrowed, *made.interconnect);
    ReportsObserver observer;
    QuantizeAll(team, *source, {tokens.data(), kChunkRows, kChunkLength}, observer);
    return observer.layers;
  };
  const std::vector<std::string> expected = quantize({0});
  ASSERT_EQ(expected.size(), 1u);

  EXPECT_TRUE(quantize({2, 1}) == expected);
}

}  // namespace
}  // namespace gptvq

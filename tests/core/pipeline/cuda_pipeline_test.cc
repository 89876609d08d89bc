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
#include "core/format/checkpoint.h"
#include "core/model/linear_role.h"
#include "core/pipeline/evaluate_directory.h"
#include "core/pipeline/memory_plan.h"
#include "core/pipeline/stages.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cuda_simulator/device_memory.h"
#include "tests/cuda_simulator/page_locked_copies.h"
#include "tests/cuda_simulator/stream_work.h"
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

// As quick as the simulator can be: where only copies matter.
QuantSpec QuickSpec() {
  QuantSpec spec = Spec();
  spec.em_iterations = 1;
  spec.update_iterations = 0;
  spec.refinement_passes = 0;
  return spec;
}

void QuantizeAll(const Team& team, const SourceModel& source, MatrixView<const std::int32_t> tokens,
                 StageObserver& observer, const QuantSpec& spec = Spec()) {
  const ConstantClock clock;
  const StageContext context{team, source, tokens, clock};
  auto embedded = EmbedCalibration(context);
  GPTVQ_CHECK(embedded.ok());
  const auto end =
      QuantizeShard(context, {0, source.config().layer_count}, *std::move(embedded), {.spec = spec}, observer);
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

  EXPECT_LE(simt::MemoryUse().peak_bytes, plan.ahead_device_bytes);
  EXPECT_GE(simt::MemoryUse().peak_bytes, plan.device_bytes / 2);
}

// What a job of a small model gives, and what it took of the simulated device.
struct DeviceRun {
  std::vector<std::string> layers;
  std::size_t peak_bytes = 0;
  std::uint64_t uploaded_bytes = 0;
};

DeviceRun RunWithin(std::size_t limit_bytes, const SourceModel& source, MatrixView<const std::int32_t> tokens) {
  simt::TrimDeviceMemory();
  simt::ForgetMemoryPeak();
  simt::LimitDeviceMemory(limit_bytes);
  const std::uint64_t uploaded_before = simt::PageLockedBytesCopied();
  ReportsObserver observer;
  {
    const auto backend = MakeCudaBackend({.device = 1}).value();
    QuantizeAll(*backend, source, tokens, observer, QuickSpec());
  }
  simt::LimitDeviceMemory(std::size_t{4} << 30);
  return {std::move(observer.layers), simt::MemoryUse().peak_bytes, simt::PageLockedBytesCopied() - uploaded_before};
}

// Every byte of a linear goes to the device once, in its stored type; and nothing depends on when it went there.
TEST(CudaReadAhead, GivesTheBytesOfLayersThatAreCopiedWhenNeeded) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBf16}) {
    SCOPED_TRACE(DTypeName(dtype));
    const TinyModel model = {.layer_count = 2, .dtype = dtype};
    MemoryDirectory directory;
    WriteTinyModel(model, directory);
    const auto source = SourceModel::Open(directory).value();
    const std::vector<std::int32_t> tokens = RandomTokens(model, kRows * kLength, 3);
    const MatrixView<const std::int32_t> rows(tokens.data(), kRows, kLength);
    const auto stored = static_cast<std::int64_t>(DTypeBytes(dtype));
    const MemoryPlan plan = PlanMemory(
        source->config(), QuickSpec(),
        {.sample_count = kRows, .sequence_length = kLength, .source_bytes_per_weight = stored}, PlannedDevice::kGpu);
    std::uint64_t linear_bytes = 0;
    for (LinearRole role : kLinearRoles) {
      const LinearShape shape = ShapeOf(source->config(), role);
      linear_bytes += static_cast<std::uint64_t>(2 * stored * shape.rows * shape.cols);
    }

    const DeviceRun ahead = RunWithin(plan.ahead_device_bytes, *source, rows);
    const DeviceRun when_needed = RunWithin(plan.ahead_device_bytes - 1, *source, rows);

    EXPECT_EQ(ahead.uploaded_bytes, linear_bytes);
    EXPECT_EQ(when_needed.uploaded_bytes, 0u);
    EXPECT_LE(ahead.peak_bytes, plan.ahead_device_bytes);
    EXPECT_LE(when_needed.peak_bytes, plan.device_bytes);
    ASSERT_EQ(ahead.layers.size(), 2u);
    EXPECT_TRUE(ahead.layers == when_needed.layers);
  }
}

TEST(CudaReadAhead, NamesTheTensorWhoseWeightsAreNotFinite) {
  const TinyModel model = {.layer_count = 2, .dtype = DType::kBf16};
  MemoryDirectory directory;
  WriteTinyModel(model, directory);
  const std::string tensor = "model.layers.1.mlp.up_proj.weight";
  const std::uint64_t offset = Checkpoint::Open(directory)->shards().front().Find(tensor)->file_offset;
  std::string file = directory.Take("model.safetensors");
  file[offset + 10] = '\x80';
  file[offset + 11] = '\x7f';  // infinity
  directory.Put("model.safetensors", file);
  const auto source = SourceModel::Open(directory).value();
  const std::vector<std::int32_t> tokens = RandomTokens(model, kRows * kLength, 3);
  const ConstantClock clock;
  const auto backend = MakeCudaBackend({.device = 0}).value();
  const StageContext context{*backend, *source, {tokens.data(), kRows, kLength}, clock};
  ReportsObserver observer;

  const auto end = QuantizeShard(context, {0, 2}, EmbedCalibration(context).value(), {.spec = QuickSpec()}, observer);

  EXPECT_EQ(end.status().code(), absl::StatusCode::kInvalidArgument) << end.status();
  EXPECT_THAT(std::string(end.status().message()),
              ::testing::HasSubstr("layer 1: " + tensor + " has 1 values that are NaN or infinite, of 6144"));
  EXPECT_EQ(observer.layers.size(), 1u);
}

// Streams do what they are asked for as late as they may (tests/cuda_simulator/stream_work.h), so a backend that used what another one
// has yet to write would see NaN. Weights that are kept beside the layer's, and those that are the layer's own.
TEST(CudaSideBySide, GivesTheBytesOfOneBackend) {
  for (DType dtype : {DType::kF32, DType::kBf16}) {
    SCOPED_TRACE(DTypeName(dtype));
    const TinyModel model = {.layer_count = 1, .dtype = dtype};
    MemoryDirectory directory;
    WriteTinyModel(model, directory);
    const auto source = SourceModel::Open(directory).value();
    const std::vector<std::int32_t> tokens = RandomTokens(model, kRows * kLength, 3);
    const auto quantize = [&](int auxiliary_count) {
      const auto lead = MakeCudaBackend({.device = 1}).value();
      std::vector<std::unique_ptr<Backend>> auxiliary;
      std::vector<Backend*> borrowed;
      for (int i = 0; i < auxiliary_count; ++i) {
        auxiliary.push_back(MakeCudaBackend({.device = 1}).value());
        borrowed.push_back(auxiliary.back().get());
      }
      ReportsObserver observer;
      QuantizeAll(Team(*lead, borrowed), *source, {tokens.data(), kRows, kLength}, observer, QuickSpec());
      return observer;
    };
    const ReportsObserver expected = quantize(0);
    ASSERT_EQ(expected.layers.size(), 1u);
    const std::uint64_t streams_before = simt::StreamsThatWorked();

    const ReportsObserver observer = quantize(2);

    EXPECT_EQ(simt::StreamsThatWorked() - streams_before, 4u) << "the lead's, two more, and that of the lane";
    EXPECT_TRUE(observer.layers == expected.layers);
    EXPECT_TRUE(observer.reports == expected.reports);
  }
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

#include "core/pipeline/memory_plan.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/memory_file.h"
#include "core/cpu/cpu_backend.h"
#include "core/pipeline/stages.h"
#include "core/spec/presets.h"
#include "gtest/gtest.h"
#include "tests/support/constant_clock.h"
#include "tests/support/tiny_model.h"

namespace gptvq {
namespace {

// Counts what is allocated through it.
class CountingBackend final : public Backend {
 public:
  std::string name() const override { return backend_->name(); }
  std::string numerics_class() const override { return backend_->numerics_class(); }
  DType activation_dtype() const override { return backend_->activation_dtype(); }
  std::int64_t row_unit() const override { return backend_->row_unit(); }
  ForwardOps& forward() override { return backend_->forward(); }
  QuantOps& quant() override { return backend_->quant(); }
  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) override {
    auto memory = backend_->Allocate(bytes);
    if (!memory.ok()) return memory.status();
    live_bytes_ += bytes;
    peak_bytes_ = std::max(peak_bytes_, live_bytes_);
    return std::make_unique<CountedMemory>(*std::move(memory), bytes, live_bytes_);
  }
  absl::Status CopyFromHost(MatrixView<const float> source, TensorView target_out) override {
    return backend_->CopyFromHost(source, target_out);
  }
  absl::Status CopyToHost(ConstTensorView source, MatrixView<float> target_out) override {
    return backend_->CopyToHost(source, target_out);
  }
  absl::Status CopyBytesFromHost(const void* source, void* target_out, std::size_t bytes) override {
    return backend_->CopyBytesFromHost(source, target_out, bytes);
  }
  absl::Status CopyBytesToHost(const void* source, void* target_out, std::size_t bytes) override {
    return backend_->CopyBytesToHost(source, target_out, bytes);
  }
  absl::Status CopyInside(MatrixView<const float> source, MatrixView<float> target_out) override {
    return backend_->CopyInside(source, target_out);
  }
  absl::Status FillZero(void* target_out, std::size_t bytes) override { return backend_->FillZero(target_out, bytes); }

  std::size_t peak_bytes() const { return peak_bytes_; }

 private:
  class CountedMemory final : public DeviceMemory {
   public:
    CountedMemory(std::unique_ptr<DeviceMemory> memory, std::size_t bytes, std::size_t& live_bytes)
        : memory_(std::move(memory)), bytes_(bytes), live_bytes_(live_bytes) {}
    ~CountedMemory() override { live_bytes_ -= bytes_; }
    void* address() const override { return memory_->address(); }

   private:
    const std::unique_ptr<DeviceMemory> memory_;
    const std::size_t bytes_;
    std::size_t& live_bytes_;
  };

  const std::unique_ptr<Backend> backend_ = MakeCpuBackend({.thread_count = 1});
  std::size_t live_bytes_ = 0;
  std::size_t peak_bytes_ = 0;
};

class SilentObserver final : public StageObserver {
 public:
  absl::Status OnProgress(const Progress&) override { return absl::OkStatus(); }
  absl::Status OnLayerQuantized(int, std::string, const std::vector<LinearReport>&) override {
    return absl::OkStatus();
  }
};

struct PlanCase {
  TinyModel model = {.layer_count = 2};
  QuantSpec spec;
  MemoryPlanInput input = {.sample_count = 4, .sequence_length = 64};
};

QuantSpec SmallSpec(LayerOrder order) {
  QuantSpec spec;
  spec.vector_dim = 2;
  spec.index_bits = 4;
  spec.group_weights = 1024;
  spec.columns_per_group = 64;
  spec.em_iterations = 2;
  spec.update_iterations = 1;
  spec.refinement_passes = 1;
  spec.layer_order = order;
  return spec;
}

// Quantizes the model; returns what was planned and what was allocated.
std::pair<MemoryPlan, std::size_t> PlannedAndAllocated(const PlanCase& test) {
  MemoryDirectory directory;
  WriteTinyModel(test.model, directory);
  const auto source = SourceModel::Open(directory).value();
  const std::int64_t rows = test.input.sample_count, cols = test.input.sequence_length;
  const std::vector<std::int32_t> tokens = RandomTokens(test.model, rows * cols, 5);
  CountingBackend backend;
  const ConstantClock clock;
  const StageContext context{backend, *source, MatrixView<const std::int32_t>(tokens.data(), rows, cols), clock};
  SilentObserver observer;
  auto end = QuantizeShard(context, {0, test.model.layer_count}, EmbedCalibration(context).value(), {.spec = test.spec},
                           observer);
  EXPECT_TRUE(end.ok()) << end.status();
  return {PlanMemory(source->config(), test.spec, test.input, PlannedDevice::kCpu), backend.peak_bytes()};
}

TEST(PlanMemory, IsWhatIsAllocatedOrATenthMore) {
  std::vector<PlanCase> cases(4);
  cases[0].spec = SmallSpec(LayerOrder::kTrueSequential);
  cases[1].spec = SmallSpec(LayerOrder::kOnePass);
  cases[2].spec = SmallSpec(LayerOrder::kTrueSequential);
  cases[2].input.sample_count = 40;  // activations outweigh the Hessians
  cases[3].spec = SmallSpec(LayerOrder::kTrueSequential);
  cases[3].model.intermediate_size = 512;  // a wide Hessian
  for (const PlanCase& test : cases) {
    const auto [plan, allocated] = PlannedAndAllocated(test);

    SCOPED_TRACE(testing::Message() << Name(test.spec.layer_order) << ", " << test.input.sample_count << " samples, "
                                    << test.model.intermediate_size << " wide");
    EXPECT_GE(plan.device_bytes, allocated);
    EXPECT_LE(plan.device_bytes, 1.1 * static_cast<double>(allocated));
    EXPECT_GT(plan.host_bytes, plan.device_bytes) << "the CPU's memory is the host's";
    EXPECT_EQ(plan.ahead_device_bytes, plan.device_bytes) << "nothing is copied to the host's own memory";
  }
}

ModelConfig Llama70B() {
  ModelConfig config;
  config.hidden_size = 8192;
  config.intermediate_size = 28672;
  config.layer_count = 80;
  config.head_count = 64;
  config.kv_head_count = 8;
  config.head_dim = 128;
  return config;
}

TEST(PlanMemory, ALayerOf70BFitsA40GbGpuAndA32GibHost) {
  for (const char* preset : {"2d-2.125bpv", "2d-3.125bpv", "4d-2.25bpv"}) {
    const QuantSpec spec = FindPreset(preset).value();

    const MemoryPlan plan =
        PlanMemory(Llama70B(), spec, {.sample_count = 128, .sequence_length = 2048}, PlannedDevice::kGpu);

    EXPECT_LT(plan.device_bytes, 40e9) << preset;
    EXPECT_GT(plan.device_bytes, 20e9) << "two copies of the activations and three of the widest Hessian";
    EXPECT_LT(plan.host_bytes, std::uint64_t{32} << 30) << preset;
    EXPECT_EQ(plan.peak_linear, "mlp.down_proj");
  }
}

TEST(PlanMemory, HasRoomForTheNextLayerAsItIsStored) {
  const QuantSpec spec = FindPreset("2d-2.125bpv").value();

  const MemoryPlan plan =
      PlanMemory(Llama70B(), spec, {.sample_count = 128, .sequence_length = 2048}, PlannedDevice::kGpu);

  const std::uint64_t down = 2ull * 8192 * 28672, layer = 3 * down + 2ull * 8192 * (2 * 8192 + 2 * 1024);
  EXPECT_EQ(plan.ahead_device_bytes - plan.device_bytes, layer + down)
      << "at the peak one linear is still to be replaced";
}

TEST(PlanMemory, GrowsWithTheCalibrationRowsByTwoActivationsEach) {
  const QuantSpec spec = FindPreset("2d-2.125bpv").value();
  const auto planned = [&](std::int64_t samples) {
    return PlanMemory(Llama70B(), spec, {.sample_count = samples, .sequence_length = 2048}, PlannedDevice::kGpu);
  };

  EXPECT_EQ(planned(256).device_bytes - planned(128).device_bytes, 128ull * 2048 * 2 * 8192 * 2);
}

}  // namespace
}  // namespace gptvq

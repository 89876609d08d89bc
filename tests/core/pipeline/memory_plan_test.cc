#include "core/pipeline/memory_plan.h"

#include <cstdint>
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
#include "tests/support/counting_backend.h"
#include "tests/support/tiny_model.h"

namespace gptvq {
namespace {

// On the CPU; has as much memory as it is told.
class SizedBackend final : public CountingBackend {
 public:
  explicit SizedBackend(std::shared_ptr<MemoryCount> count, std::uint64_t capacity_bytes = ~std::uint64_t{0})
      : CountingBackend(MakeCpuBackend({.thread_count = 1}), std::move(count)), capacity_bytes_(capacity_bytes) {}

  absl::StatusOr<std::uint64_t> CapacityBytes() override { return capacity_bytes_; }

 private:
  const std::uint64_t capacity_bytes_;
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

void Quantize(const PlanCase& test, const Team& team) {
  MemoryDirectory directory;
  WriteTinyModel(test.model, directory);
  const auto source = SourceModel::Open(directory).value();
  const std::int64_t rows = test.input.sample_count, cols = test.input.sequence_length;
  const std::vector<std::int32_t> tokens = RandomTokens(test.model, rows * cols, 5);
  const ConstantClock clock;
  const StageContext context{team, *source, MatrixView<const std::int32_t>(tokens.data(), rows, cols), clock};
  SilentObserver observer;
  auto end = QuantizeShard(context, {0, test.model.layer_count}, EmbedCalibration(context).value(), {.spec = test.spec},
                           observer);
  EXPECT_TRUE(end.ok()) << end.status();
}

MemoryPlan Plan(const PlanCase& test, PlannedDevice device) {
  MemoryDirectory directory;
  WriteTinyModel(test.model, directory);
  const std::unique_ptr<SourceModel> source = SourceModel::Open(directory).value();
  return PlanMemory(source->config(), test.spec, test.input, device);
}

std::vector<PlanCase> PlanCases() {
  std::vector<PlanCase> cases(4);
  cases[0].spec = SmallSpec(LayerOrder::kTrueSequential);
  cases[1].spec = SmallSpec(LayerOrder::kOnePass);
  cases[2].spec = SmallSpec(LayerOrder::kTrueSequential);
  cases[2].input.sample_count = 40;  // activations outweigh the Hessians
  cases[3].spec = SmallSpec(LayerOrder::kTrueSequential);
  cases[3].model.intermediate_size = 512;  // a wide Hessian
  return cases;
}

TEST(PlanMemory, IsWhatIsAllocatedOrATenthMore) {
  for (const PlanCase& test : PlanCases()) {
    const MemoryPlan plan = Plan(test, PlannedDevice::kCpu);
    const auto count = std::make_shared<MemoryCount>();
    SizedBackend backend(count);
    Quantize(test, backend);
    const std::size_t allocated = count->peak_bytes();

    SCOPED_TRACE(testing::Message() << Name(test.spec.layer_order) << ", " << test.input.sample_count << " samples, "
                                    << test.model.intermediate_size << " wide");
    EXPECT_GE(plan.device_bytes, allocated);
    EXPECT_LE(plan.device_bytes, 1.1 * static_cast<double>(allocated));
    EXPECT_GT(plan.host_bytes, plan.device_bytes) << "the CPU's memory is the host's";
    EXPECT_EQ(plan.ahead_device_bytes, plan.device_bytes) << "nothing is copied to the host's own memory";
  }
}

TEST(PlanMemory, HasRoomForLinearsSideBySide) {
  for (const PlanCase& test : PlanCases()) {
    SCOPED_TRACE(testing::Message() << Name(test.spec.layer_order) << ", " << test.input.sample_count << " samples, "
                                    << test.model.intermediate_size << " wide");
    const MemoryPlan plan = Plan(test, PlannedDevice::kCpu);
    const auto count = std::make_shared<MemoryCount>();
    SizedBackend lead(count), first(count), second(count);

    Quantize(test, Team(lead, {&first, &second}));

    EXPECT_GT(first.allocations(), 0);
    EXPECT_GT(second.allocations(), 0);
    EXPECT_GE(plan.beside_device_bytes, count->peak_bytes());
  }
}

TEST(QuantizeShard, DoesOneLinearAfterTheOtherWhereTheMemoryHasNoRoomForSeveral) {
  PlanCase test = PlanCases()[0];
  test.input.source_bytes_per_weight = 4;
  const MemoryPlan plan = Plan(test, PlannedDevice::kGpu);
  ASSERT_GT(plan.beside_device_bytes, plan.ahead_device_bytes) << "the widest linears of this model are gate and up";
  for (const std::uint64_t capacity_bytes : {plan.beside_device_bytes - 1, plan.beside_device_bytes}) {
    const auto count = std::make_shared<MemoryCount>();
    SizedBackend lead(count, capacity_bytes), auxiliary(count);

    Quantize(test, Team(lead, {&auxiliary}));

    EXPECT_EQ(auxiliary.allocations() > 0, capacity_bytes == plan.beside_device_bytes);
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

// The peak is at down_proj, which is alone; of 7B, whose Hessians are small, gate and up at once are a little above it.
TEST(PlanMemory, LinearsOfLargeModelsSideBySideNeedHardlyALargerDevice) {
  ModelConfig of_7b = Llama70B(), of_405b = Llama70B();
  of_7b.hidden_size = 4096;
  of_7b.intermediate_size = 11008;
  of_7b.head_count = of_7b.kv_head_count = 32;
  of_405b.hidden_size = 16384;
  of_405b.intermediate_size = 53248;
  of_405b.head_count = 128;
  for (const ModelConfig& config : {of_7b, Llama70B(), of_405b}) {
    for (const char* preset : {"2d-2.125bpv", "2d-3.125bpv", "4d-2.25bpv"}) {
      const QuantSpec spec = FindPreset(preset).value();

      const MemoryPlan plan =
          PlanMemory(config, spec, {.sample_count = 128, .sequence_length = 2048}, PlannedDevice::kGpu);

      const double allowance = config.hidden_size == 4096 ? 1.01 : 1.0;
      EXPECT_LE(static_cast<double>(plan.beside_device_bytes), allowance * static_cast<double>(plan.ahead_device_bytes))
          << config.hidden_size << ", " << preset;
    }
  }
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

// The small parts: options, phases, observed directories, the self test.

#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/memory_file.h"
#include "core/cpu/cpu_backend.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/forwarding_backend.h"
#include "tests/support/job_builders.h"
#include "worker/device_slots.h"
#include "worker/observed_directory.h"
#include "worker/phase_clock.h"
#include "worker/self_test.h"
#include "worker/worker_metrics.h"
#include "worker/worker_options.h"

namespace gptvq {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

ParsedCommandLine Parse(std::vector<const char*> words, WorkerOptions* options) {
  CommandLine line({.name = "gptvq-worker", .summary = "W."}, [](const std::string&) { return std::nullopt; });
  DeclareFlags(line.main(), options);
  words.insert(words.begin(), "gptvq-worker");
  std::ostringstream out, err;
  return line.Parse(static_cast<int>(words.size()), words.data(), out, err);
}

TEST(WorkerOptions, OpenOnesComeFromTheMachine) {
  WorkerOptions options;
  ASSERT_FALSE(Parse({"--coordinator", "unix:/run/c.sock"}, &options).exit_code.has_value());

  options.FillDefaults("gpu_node.example", 4711, 16);

  EXPECT_TRUE(options.Validate().ok());
  EXPECT_EQ(options.name, "gpu_node.example-4711");
  EXPECT_EQ(options.threads, 16);
  EXPECT_EQ(options.coordinator, "unix:/run/c.sock");
}

TEST(WorkerOptions, SlotsShareTheThreads) {
  WorkerOptions options;
  ASSERT_FALSE(Parse({"--coordinator=h:1", "--threads=7", "--device-slots=2"}, &options).exit_code.has_value());
  options.FillDefaults("host", 1, 16);

  EXPECT_TRUE(options.Validate().ok());
  EXPECT_EQ(options.threads_per_slot(), 3);
}

TEST(WorkerOptions, RefusalsNameTheFlag) {
  const auto refusal = [](std::vector<const char*> words) {
    WorkerOptions options;
    EXPECT_FALSE(Parse(std::move(words), &options).exit_code.has_value());
    options.FillDefaults("host", 1, 4);
    return std::string(options.Validate().message());
  };

  EXPECT_THAT(refusal({}), HasSubstr("--coordinator is missing"));
  EXPECT_THAT(refusal({"--selftest"}), "");
  EXPECT_THAT(refusal({"--coordinator=h:1", "--name=-x"}), HasSubstr("--name"));
  EXPECT_THAT(refusal({"--coordinator=h:1", "--name=a/b"}), HasSubstr("--name"));
  EXPECT_THAT(refusal({"--coordinator=h:1", "--threads=2", "--device-slots=3"}), HasSubstr("--device-slots"));
  EXPECT_THAT(refusal({"--coordinator=h:1", "--file-root=data"}), HasSubstr("file root"));
  EXPECT_THAT(refusal({"--coordinator=h:1", "--device=cuda", "--device-slots=2"}), HasSubstr("--device-slots"));
  EXPECT_THAT(refusal({"--coordinator=h:1", "--team-size=2"}), HasSubstr("--team-size is for GPUs"));
  EXPECT_THAT(refusal({"--coordinator=h:1", "--device=cuda", "--team-size=2"}), "");
}

TEST(WorkerOptions, HostNamesThatNobodyExpectsStillMakeAName) {
  WorkerOptions options;
  options.coordinator = "h:1";

  options.FillDefaults("-\xff(none)", 12, 4);

  EXPECT_TRUE(options.Validate().ok()) << options.name;
}

TEST(PhaseClock, EveryMomentBelongsToOnePhase) {
  FakeClock clock;
  std::map<TaskPhase, double> heard;
  PhaseClock phases(clock, [&](const TaskPhaseSeconds& spent) { heard[spent.phase] += spent.seconds; });
  clock.Advance(seconds(2));
  phases.Enter(TaskPhase::kQuantize);
  clock.Advance(seconds(5));
  EXPECT_EQ(phases.Enter(TaskPhase::kPublish), TaskPhase::kQuantize);
  clock.Advance(seconds(1));
  phases.Enter(TaskPhase::kQuantize);
  clock.Advance(seconds(3));

  EXPECT_THAT(phases.Seconds(),
              ElementsAre(TaskPhaseSeconds{TaskPhase::kLoad, 2}, TaskPhaseSeconds{TaskPhase::kQuantize, 8},
                          TaskPhaseSeconds{TaskPhase::kPublish, 1}));
  EXPECT_EQ(heard[TaskPhase::kLoad], 2);
  EXPECT_EQ(heard[TaskPhase::kQuantize], 8);
  EXPECT_EQ(heard[TaskPhase::kPublish], 1);
}

TEST(WorkerMetrics, ALayerAddsItsWeightsErrorsAndStages) {
  MetricsRegistry registry("worker");
  WorkerMetrics metrics(registry);

  metrics.CountLayer(100, {ALinearReport("model.layers.0.mlp.up_proj"), ALinearReport("model.layers.0.mlp.down_proj")});

  const std::string text = registry.RenderText();
  EXPECT_THAT(text, HasSubstr("gptvq_worker_published_layers_total 1\n"));
  EXPECT_THAT(text, HasSubstr("gptvq_worker_published_bytes_total 100\n"));
  EXPECT_THAT(text, HasSubstr("gptvq_worker_published_weights_total 32768\n"));
  EXPECT_THAT(text, HasSubstr("gptvq_worker_linear_relative_error_count 2\n"));
  EXPECT_THAT(text, HasSubstr("gptvq_worker_linear_stage_seconds_total{stage=\"sweep\"} 0.6\n"));
}

TEST(WorkerMetrics, UsedMemoryIsShownWhereTheDeviceSaysIt) {
  MetricsRegistry registry("worker");
  WorkerMetrics metrics(registry);

  metrics.ShowSlot({.name = "cpu:0", .description = "", .memory_bytes = 64}, nullptr);
  metrics.ShowSlot({.name = "cuda:0", .description = "", .memory_bytes = 80}, [] { return 33.0; });

  const std::string text = registry.RenderText();
  EXPECT_THAT(text, HasSubstr("gptvq_worker_slot_memory_bytes{slot=\"cpu:0\"} 64\n"));
  EXPECT_THAT(text, HasSubstr("gptvq_worker_slot_used_memory_bytes{slot=\"cuda:0\"} 33\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("used_memory_bytes{slot=\"cpu:0\"}")));
}

TEST(PhaseOfStep, NamesOfLinearsAreQuantization) {
  EXPECT_EQ(PhaseOfStep("load"), TaskPhase::kLoad);
  EXPECT_EQ(PhaseOfStep("publish"), TaskPhase::kPublish);
  EXPECT_EQ(PhaseOfStep("capture"), TaskPhase::kForward);
  EXPECT_EQ(PhaseOfStep("replay"), TaskPhase::kForward);
  EXPECT_EQ(PhaseOfStep("calibrate"), TaskPhase::kHessian);
  EXPECT_EQ(PhaseOfStep("evaluate"), TaskPhase::kEvaluate);
  EXPECT_EQ(PhaseOfStep("model.layers.3.mlp.up_proj"), TaskPhase::kQuantize);
}

TEST(ObservedDirectory, ReadsAreCountedAndCanBeEnded) {
  auto memory = std::make_unique<MemoryDirectory>();
  memory->Put("x", "0123456789");
  std::size_t read_bytes = 0;
  const ObservedReadableDirectory directory(std::move(memory), [&](std::size_t bytes) {
    read_bytes += bytes;
    return read_bytes > 12 ? absl::CancelledError("enough") : absl::OkStatus();
  });

  const auto file = directory.Open("x");

  ASSERT_TRUE(file.ok());
  EXPECT_EQ(ReadWholeFile(**file, 100).value(), "0123456789");
  EXPECT_EQ(read_bytes, 10u);
  EXPECT_EQ(ReadWholeFile(**file, 100).status().code(), absl::StatusCode::kCancelled);
}

TEST(ObservedDirectory, WriteThatIsEndedAtItsCloseIsNotVisible) {
  auto memory = std::make_unique<MemoryDirectory>();
  MemoryDirectory& files = *memory;
  bool is_stopped = false;
  ObservedWritableDirectory directory(
      std::move(memory), [&](std::size_t) { return is_stopped ? absl::CancelledError("stopped") : absl::OkStatus(); });
  auto file = directory.Create("x");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append(AsBytes("abc")).ok());

  is_stopped = true;

  EXPECT_EQ((*file)->Close().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(files.List().value(), testing::IsEmpty());
}

TEST(SelfTest, PassesOnThisMachine) {
  EXPECT_TRUE(RunSelfTest(*MakeCpuBackend({.thread_count = 1})).ok());
  EXPECT_TRUE(RunSelfTest(*MakeCpuBackend({.thread_count = 3})).ok());
}

// A backend whose results have one bit flipped on their way back.
class FlippingBackend final : public ForwardingBackend {
 public:
  FlippingBackend() : ForwardingBackend(MakeCpuBackend({.thread_count = 1})) {}

  absl::Status CopyToHost(ConstTensorView source, MatrixView<float> target_out) override {
    const absl::Status status = ForwardingBackend::CopyToHost(source, target_out);
    target_out.at(target_out.rows - 1, target_out.cols - 1) += 1;
    return status;
  }
};

TEST(SelfTest, NamesTheElementThatIsWrong) {
  FlippingBackend backend;

  const absl::Status status = RunSelfTest(backend);

  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("element (196, 130)"));
}

// Brings everything but to rank 1.
class BrokenInterconnect final : public Interconnect {
 public:
  std::string name() const override { return "broken"; }
  absl::Status Broadcast(int root, absl::Span<void* const> addresses, std::size_t bytes) override {
    std::vector<void*> reached(addresses.begin(), addresses.end());
    reached[1] = reached[root];
    return HostInterconnect().Broadcast(root, reached, bytes);
  }
};

TEST(SelfTest, OfATeamNamesTheDeviceThatReceivesNothing) {
  std::vector<std::unique_ptr<Backend>> backends;
  std::vector<Backend*> borrowed;
  for (int i = 0; i < 3; ++i) {
    backends.push_back(MakeCpuBackend({.thread_count = 1}));
    borrowed.push_back(backends.back().get());
  }
  HostInterconnect works;
  BrokenInterconnect broken;

  EXPECT_TRUE(RunSelfTest(Team(borrowed, works)).ok());
  const absl::Status status = RunSelfTest(Team(borrowed, broken));

  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("does not receive"));
}

TEST(DeviceSlots, OfGpusAreCutIntoTeamsOfConsecutiveOnes) {
  std::vector<CudaDevice> devices;
  for (int i = 0; i < 4; ++i) devices.push_back({.index = i, .name = "GPU", .memory_bytes = 1});

  const auto pairs = CutIntoTeams(devices, 2);

  ASSERT_TRUE(pairs.ok());
  ASSERT_THAT(*pairs, testing::SizeIs(2));
  EXPECT_EQ((*pairs)[0][1].index, 1);
  EXPECT_EQ((*pairs)[1][0].index, 2);
  EXPECT_THAT(std::string(CutIntoTeams(devices, 3).status().message()), HasSubstr("--device cuda:N,M"));
}

TEST(DeviceSlots, OfTheCpuAreOneBackendEachOfOneClass) {
  const auto slots =
      MakeDeviceSlots({.device = {DeviceChoice::Kind::kCpu, {}}, .cpu_slot_count = 2, .threads_per_cpu_slot = 1});

  ASSERT_TRUE(slots.ok());
  ASSERT_THAT(*slots, testing::SizeIs(2));
  EXPECT_EQ((*slots)[1].slot.name, "cpu:1");
  EXPECT_THAT((*slots)[0].slot.description, HasSubstr("1 thread"));
  EXPECT_GT((*slots)[0].slot.memory_bytes, 0u);
  EXPECT_EQ((*slots)[0].team().size(), 1);
  EXPECT_EQ((*slots)[0].team().lead().numerics_class(), (*slots)[1].team().lead().numerics_class());
}

// On this machine, whatever it has: what --device auto takes is what CUDA says there is.
TEST(DeviceSlots, AreTheGpusOfThisMachineOrElseItsCpu) {
  const absl::StatusOr<std::vector<CudaDevice>> devices = CudaDevices();
  const std::string expected = devices.ok() && !devices->empty() ? "cuda:0" : "cpu:0";

  const auto slots = MakeDeviceSlots({.device = {}, .cpu_slot_count = 1, .threads_per_cpu_slot = 1});

  ASSERT_TRUE(slots.ok()) << slots.status();
  EXPECT_EQ(slots->front().slot.name, expected);
}

using Kind = DeviceChoice::Kind;
using Devices = absl::StatusOr<std::vector<CudaDevice>>;

const std::vector<CudaDevice>& TwoKinds() {
  static const auto& devices = *new std::vector<CudaDevice>{
      {.index = 0, .name = "H200"}, {.index = 1, .name = "L4"}, {.index = 3, .name = "H200"}};
  return devices;
}

std::vector<int> NumbersOf(const Devices& devices) {
  std::vector<int> numbers;
  for (const CudaDevice& device : devices.value()) numbers.push_back(device.index);
  return numbers;
}

TEST(ChooseCudaDevices, TakesThoseThatWereNamedInTheirOrder) {
  const std::vector<CudaDevice> alike = {{.index = 0, .name = "H200"}, {.index = 1, .name = "H200"}};

  EXPECT_THAT(NumbersOf(ChooseCudaDevices({Kind::kCuda, {3, 0}}, TwoKinds())), testing::ElementsAre(3, 0));
  EXPECT_THAT(NumbersOf(ChooseCudaDevices({Kind::kCuda, {}}, alike)), testing::ElementsAre(0, 1));
  EXPECT_THAT(NumbersOf(ChooseCudaDevices({Kind::kAuto, {}}, alike)), testing::ElementsAre(0, 1));
}

TEST(ChooseCudaDevices, LeavesTheCpuWhereItWasChosenOrNothingElseIs) {
  const Devices no_driver = absl::FailedPreconditionError("no driver");

  EXPECT_THAT(NumbersOf(ChooseCudaDevices({Kind::kCpu, {}}, TwoKinds())), testing::IsEmpty());
  EXPECT_THAT(NumbersOf(ChooseCudaDevices({Kind::kAuto, {}}, no_driver)), testing::IsEmpty());
  EXPECT_THAT(NumbersOf(ChooseCudaDevices({Kind::kAuto, {}}, Devices(std::vector<CudaDevice>()))), testing::IsEmpty());
}

TEST(ChooseCudaDevices, RefusalsSayWhatIsThereAndWhatToDo) {
  const auto refusal = [](const DeviceChoice& choice, const Devices& present) {
    const Devices chosen = ChooseCudaDevices(choice, present);
    EXPECT_EQ(chosen.status().code(), absl::StatusCode::kFailedPrecondition);
    return std::string(chosen.status().message());
  };

  EXPECT_EQ(refusal({Kind::kCuda, {0}}, absl::FailedPreconditionError("no driver")), "no driver");
  EXPECT_THAT(refusal({Kind::kCuda, {}}, Devices(std::vector<CudaDevice>())), HasSubstr("no CUDA device"));
  EXPECT_THAT(refusal({Kind::kCuda, {2}}, TwoKinds()), HasSubstr("no usable device cuda:2; here cuda:0 is H200"));
  EXPECT_THAT(refusal({Kind::kCuda, {0, 1}}, TwoKinds()), HasSubstr("cuda:1 is L4; name those of one kind"));
  EXPECT_THAT(refusal({Kind::kAuto, {}}, TwoKinds()), HasSubstr("--device cuda:N,M"));
}

}  // namespace
}  // namespace gptvq

// Linears of one input side by side: whatever the number of backends, the result is that of one.
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "core/base/memory_file.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_backend.h"
#include "core/model/embedding.h"
#include "core/model/linear_role.h"
#include "core/pipeline/quantize_layer.h"
#include "core/pipeline/stages.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/constant_clock.h"
#include "tests/support/forwarding_backend.h"
#include "tests/support/tiny_model.h"

namespace gptvq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t kSamples = 6;
constexpr std::int64_t kLength = 32;

// The CPU's, until it has no memory left.
class LimitedBackend final : public ForwardingBackend {
 public:
  explicit LimitedBackend(int allocation_limit)
      : ForwardingBackend(MakeCpuBackend({.thread_count = 1})), allocation_limit_(allocation_limit) {}

  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) override {
    if (++allocations_ > allocation_limit_) return absl::ResourceExhaustedError("no memory");
    return ForwardingBackend::Allocate(bytes);
  }

  int allocations() const { return allocations_; }

 private:
  const int allocation_limit_;
  int allocations_ = 0;
};

// The linears of a checkpoint, one of which is broken.
class BrokenLinears final : public LinearSource {
 public:
  BrokenLinears(const Checkpoint& checkpoint, std::optional<LinearRole> broken)
      : linears_(checkpoint), broken_(broken) {}

  absl::Status ReadWeight(int layer, LinearRole role, MatrixView<float> weight_out) const override {
    GPTVQ_RETURN_IF_ERROR(linears_.ReadWeight(layer, role, weight_out));
    if (role == broken_) weight_out.row(3)[5] = std::numeric_limits<float>::quiet_NaN();
    return absl::OkStatus();
  }

 private:
  const CheckpointLinears linears_;
  const std::optional<LinearRole> broken_;
};

// All seconds are 0, so that reports can be compared whole.
class RecordingObserver final : public StageObserver {
 public:
  absl::Status OnProgress(const Progress& progress) override {
    EXPECT_GE(progress.fraction, last_fraction_);
    last_fraction_ = progress.fraction;
    steps.emplace_back(progress.step);
    return absl::OkStatus();
  }
  absl::Status OnLayerQuantized(int, std::string packed, const std::vector<LinearReport>& layer_reports) override {
    layers.push_back(std::move(packed));
    reports.insert(reports.end(), layer_reports.begin(), layer_reports.end());
    return absl::OkStatus();
  }

  std::vector<std::string> steps;
  std::vector<std::string> layers;
  std::vector<LinearReport> reports;

 private:
  double last_fraction_ = 0;
};

QuantSpec TestSpec(LayerOrder order = LayerOrder::kTrueSequential) {
  QuantSpec spec;
  spec.vector_dim = 2;
  spec.index_bits = 4;
  spec.group_weights = 1024;
  spec.columns_per_group = 64;
  spec.em_iterations = 5;
  spec.update_iterations = 2;
  spec.refinement_passes = 1;
  spec.layer_order = order;
  return spec;
}

// What QuantizeLayer made of layer 0 of the model, and what it told meanwhile.
struct LayerRun {
  absl::StatusOr<QuantizedLayer> layer = absl::UnknownError("");
  std::vector<std::string> steps;                // names of linears alone
  std::vector<std::vector<std::string>> told;    // names of linears that are done, at every time
  std::vector<QuantizedLayer> checkpoints = {};  // what was told
};

struct LayerOptions {
  int auxiliary = 0;
  std::optional<LinearRole> broken = {};
  std::optional<LinearRole> stop_at = {};
  QuantizedLayer finished = {};
  LayerOrder order = LayerOrder::kTrueSequential;
};

class AuxiliaryBackendsTest : public ::testing::Test {
 protected:
  AuxiliaryBackendsTest() {
    WriteTinyModel(model_, directory_);
    source_ = SourceModel::Open(directory_).value();
    tokens_ = RandomTokens(model_, kSamples * kLength, 7);
  }

  MatrixView<const std::int32_t> Tokens() const { return {tokens_.data(), kSamples, kLength}; }

  RecordingObserver Quantize(const Team& team, const QuantSpec& spec) {
    const StageContext context{team, *source_, Tokens(), clock_};
    RecordingObserver observer;
    const auto end = QuantizeShard(context, {0, model_.layer_count}, EmbedCalibration(context).value(),
                                   {.spec = spec, .seed = 3}, observer);
    EXPECT_TRUE(end.ok()) << end.status();
    return observer;
  }

  LayerRun Run(const LayerOptions& options) {
    std::vector<std::unique_ptr<Backend>> backends;
    for (int i = 0; i <= options.auxiliary; ++i) backends.push_back(MakeCpuBackend({.thread_count = 1}));
    QuantizeLayerOptions layer_options = {.spec = TestSpec(options.order), .seed = 3, .finished = options.finished};
    for (int i = 1; i <= options.auxiliary; ++i) layer_options.auxiliary.push_back(backends[i].get());
    const Team team(*backends[0]);
    const BrokenLinears linears(source_->checkpoint(), options.broken);
    TeamRows rows =
        TeamRows::ShareOut(team, source_->config(),
                           EmbedTokens(team.lead(), source_->config(), source_->checkpoint(), Tokens()).value())
            .value();
    std::vector<DecoderLayer> layers;
    layers.push_back(DecoderLayer::Load(team.lead(), source_->config(), source_->checkpoint(), linears, 0).value());
    LayerRun run;
    const auto on_step = [&](int, std::string_view step) {
      if (!step.starts_with("model.")) return absl::OkStatus();
      run.steps.emplace_back(step.substr(step.rfind('.') + 1));
      const bool is_stopped = options.stop_at && step == LinearPath(0, *options.stop_at);
      return is_stopped ? absl::CancelledError("stopped by the test") : absl::OkStatus();
    };
    const auto on_linear = [&](const QuantizedLayer& done) {
      std::vector<std::string> names;
      for (const LinearReport& report : done.reports) names.push_back(report.name.substr(report.name.rfind('.') + 1));
      run.told.push_back(names);
      run.checkpoints.push_back(done);
    };
    run.layer = QuantizeLayer(rows, linears, layers, layer_options, clock_, {on_step, on_linear});
    return run;
  }

  const TinyModel model_ = {.layer_count = 2};
  MemoryDirectory directory_;
  std::unique_ptr<SourceModel> source_;
  std::vector<std::int32_t> tokens_;
  ConstantClock clock_;
};

void ExpectSame(const QuantizedLayer& layer, const QuantizedLayer& expected) {
  EXPECT_EQ(layer.reports, expected.reports);
  ASSERT_EQ(layer.linears.size(), expected.linears.size());
  for (std::size_t i = 0; i < layer.linears.size(); ++i) {
    const QuantizedLinear& linear = *layer.linears[i];
    std::vector<float> weights(RowCount(linear) * ColumnCount(linear)), expected_weights(weights.size());
    Dequantize(linear, MatrixView<float>(weights.data(), RowCount(linear), ColumnCount(linear)));
    Dequantize(*expected.linears[i], MatrixView<float>(expected_weights.data(), RowCount(linear), ColumnCount(linear)));
    EXPECT_EQ(weights, expected_weights) << layer.reports[i].name;
  }
}

TEST_F(AuxiliaryBackendsTest, ChangeNoByteNoReportAndNoStep) {
  QuantSpec reference = TestSpec();
  reference.compatibility = Compatibility::kReference;
  QuantSpec uniform;
  uniform.method = QuantMethod::kGptq;
  for (const QuantSpec& spec :
       {TestSpec(LayerOrder::kTrueSequential), TestSpec(LayerOrder::kOnePass), reference, uniform}) {
    std::vector<std::unique_ptr<Backend>> backends;
    for (int threads : {1, 2, 1}) backends.push_back(MakeCpuBackend({.thread_count = threads}));
    const RecordingObserver alone = Quantize(Team(*backends[0]), spec);
    ASSERT_EQ(alone.layers.size(), 2u);

    for (const std::vector<Backend*>& auxiliary :
         {std::vector{backends[1].get()}, std::vector{backends[1].get(), backends[2].get()}}) {
      SCOPED_TRACE(testing::Message() << Name(spec.method) << ", " << Name(spec.layer_order) << ", " << auxiliary.size()
                                      << " auxiliary");
      const RecordingObserver together = Quantize(Team(*backends[0], auxiliary), spec);

      EXPECT_TRUE(together.layers == alone.layers);
      EXPECT_EQ(together.reports, alone.reports);
      EXPECT_EQ(together.steps, alone.steps);
    }
  }
}

TEST_F(AuxiliaryBackendsTest, WhatIsDoneIsToldInTheOrderOfLinears) {
  const LayerRun run = Run({.auxiliary = 2});

  ASSERT_TRUE(run.layer.ok()) << run.layer.status();
  ASSERT_EQ(run.told.size(), 7u);
  for (std::size_t i = 0; i < run.told.size(); ++i) EXPECT_EQ(run.told[i].size(), i + 1);
  EXPECT_THAT(run.told.back(),
              ElementsAre("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"));
}

TEST_F(AuxiliaryBackendsTest, GoOnWithTheLinearsThatAreOpen) {
  for (LayerOrder order : {LayerOrder::kTrueSequential, LayerOrder::kOnePass}) {
    const LayerRun whole = Run({.auxiliary = 2, .order = order});
    ASSERT_TRUE(whole.layer.ok()) << whole.layer.status();
    for (int finished : {1, 2, 5}) {
      SCOPED_TRACE(testing::Message() << Name(order) << ", " << finished << " finished");

      const LayerRun resumed = Run({.auxiliary = 2, .finished = whole.checkpoints[finished - 1], .order = order});

      ASSERT_TRUE(resumed.layer.ok()) << resumed.layer.status();
      EXPECT_EQ(resumed.steps.size(), 7u - finished);
      ExpectSame(*resumed.layer, *whole.layer);
    }
  }
}

TEST_F(AuxiliaryBackendsTest, AnErrorNamesItsLinearAndTheOnesBeforeAreKept) {
  for (int auxiliary : {0, 1, 2}) {
    SCOPED_TRACE(auxiliary);

    const LayerRun run = Run({.auxiliary = auxiliary, .broken = LinearRole::kK});

    EXPECT_EQ(run.layer.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(run.layer.status().message()),
                HasSubstr("model.layers.0.self_attn.k_proj: the weight at row 3, column 5 is nan"));
    EXPECT_THAT(run.told, ElementsAre(ElementsAre("q_proj")));
  }
}

TEST_F(AuxiliaryBackendsTest, TheObserverEndsTheWorkBeforeAnyLinear) {
  for (LinearRole role : kLinearRoles) {
    SCOPED_TRACE(Name(role));

    const LayerRun run = Run({.auxiliary = 2, .stop_at = role});

    EXPECT_EQ(run.layer.status(), absl::CancelledError("stopped by the test"));
    EXPECT_EQ(run.steps.size(), static_cast<std::size_t>(role) + 1);
  }
}

TEST_F(AuxiliaryBackendsTest, ALinearThatFindsNoMemoryIsDoneWhenTheOthersAre) {
  const auto alone = MakeCpuBackend({.thread_count = 1});
  const RecordingObserver expected = Quantize(Team(*alone), TestSpec());
  for (int allocation_limit : {0, 3, 40}) {
    SCOPED_TRACE(allocation_limit);
    const auto lead = MakeCpuBackend({.thread_count = 1}), second = MakeCpuBackend({.thread_count = 1});
    LimitedBackend first(allocation_limit);

    const RecordingObserver observer = Quantize(Team(*lead, {&first, second.get()}), TestSpec());

    EXPECT_GT(first.allocations(), allocation_limit);
    EXPECT_TRUE(observer.layers == expected.layers);
    EXPECT_EQ(observer.reports, expected.reports);
  }
}

}  // namespace
}  // namespace gptvq

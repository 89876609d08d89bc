// Layers that are interrupted and resumed from a checkpoint: whatever the place, the result is that of an uninterrupted run.
#include "core/pipeline/layer_checkpoint.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/team.h"
#include "core/base/memory_file.h"
#include "core/cpu/cpu_backend.h"
#include "core/model/linear_role.h"
#include "core/pipeline/stages.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/constant_clock.h"
#include "tests/support/tiny_model.h"

namespace gptvq {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr std::int64_t kSamples = 18;  // three chunks of a layer's forward pass: a rank without one in a team of four
constexpr std::int64_t kLength = 256;
constexpr int kLayers = 2;

// All seconds are 0, so that reports can be compared whole.
class RecordingObserver final : public StageObserver {
 public:
  absl::Status OnProgress(const Progress& progress) override {
    steps.emplace_back(progress.step);
    return progress.step == stop_at ? absl::AbortedError("killed by the test") : absl::OkStatus();
  }
  absl::Status OnLayerQuantized(int, std::string packed, const std::vector<LinearReport>& layer_reports) override {
    layers.push_back(std::move(packed));
    reports.insert(reports.end(), layer_reports.begin(), layer_reports.end());
    return absl::OkStatus();
  }

  std::string stop_at;
  std::vector<std::string> steps;
  std::vector<std::string> layers;
  std::vector<LinearReport> reports;
};

// Wants a checkpoint when it is asked for the n-th time.
class NthKeeper final : public CheckpointKeeper {
 public:
  explicit NthKeeper(int n) : n_(n) {}

  bool WantsCheckpoint() override { return ++asked_ == n_; }
  void KeepCheckpoint(int layer, std::string bytes, const std::vector<LinearReport>& done, std::stop_token) override {
    kept_layer = layer;
    packed = std::move(bytes);
    reports = done;
  }

  int kept_layer = -1;
  std::string packed;
  std::vector<LinearReport> reports;

 private:
  const int n_;
  int asked_ = 0;
};

struct Outcome {
  std::vector<std::string> layers;
  std::vector<LinearReport> reports;
  std::vector<float> boundary;
  std::vector<std::string> steps;
};

// A process with a team of backends that works on a tiny model.
class Station {
 public:
  explicit Station(int ranks = 1, int threads = 1) {
    WriteTinyModel(model_, directory_);
    source_ = SourceModel::Open(directory_).value();
    tokens_ = RandomTokens(model_, kSamples * kLength, 7);
    for (int i = 0; i < ranks; ++i) backends_.push_back(MakeCpuBackend({.thread_count = threads}));
  }

  const ModelConfig& config() const { return source_->config(); }

  absl::Status Run(const QuantizeShardOptions& options, RecordingObserver& observer, std::vector<float>* boundary_out) {
    std::vector<Backend*> borrowed;
    for (const auto& backend : backends_) borrowed.push_back(backend.get());
    const StageContext context{Team(borrowed, interconnect_), *source_,
                               MatrixView<const std::int32_t>(tokens_.data(), kSamples, kLength), clock_};
    const auto end = QuantizeShard(context, {0, kLayers}, EmbedCalibration(context).value(), options, observer);
    if (!end.ok()) return end.status();
    const std::int64_t width = end->shape().hidden_size;
    boundary_out->resize(static_cast<std::size_t>(end->token_count() * width));
    return end->CopyRowsToHost(0, MatrixView<float>(boundary_out->data(), end->token_count(), width));
  }

  Outcome Quantize(const QuantSpec& spec, std::optional<LayerCheckpoint> checkpoint = {},
                   const std::vector<std::string>& published = {}) {
    QuantizeShardOptions options{.spec = spec, .seed = 3, .checkpoint = std::move(checkpoint)};
    for (const std::string& packed : published) {
      options.published.push_back(LayerArtifact::Open(std::make_unique<MemoryFile>("layer", packed)).value());
    }
    RecordingObserver observer;
    Outcome outcome;
    EXPECT_EQ(Run(options, observer, &outcome.boundary), absl::OkStatus());
    outcome.layers = std::move(observer.layers);
    outcome.reports = std::move(observer.reports);
    outcome.steps = std::move(observer.steps);
    return outcome;
  }

 private:
  const TinyModel model_ = {.layer_count = kLayers};
  MemoryDirectory directory_;
  std::unique_ptr<SourceModel> source_;
  std::vector<std::int32_t> tokens_;
  ConstantClock clock_;
  HostInterconnect interconnect_;
  std::vector<std::unique_ptr<Backend>> backends_;
};

QuantSpec TestSpec(LayerOrder order = LayerOrder::kTrueSequential) {
  QuantSpec spec;
  spec.vector_dim = 2;
  spec.index_bits = 3;
  spec.group_weights = 1024;
  spec.columns_per_group = 64;
  spec.em_iterations = 5;
  spec.update_iterations = 2;
  spec.refinement_passes = 1;
  spec.layer_order = order;
  return spec;
}

absl::StatusOr<LayerCheckpoint> Read(const Station& station, const QuantSpec& spec, const std::string& packed,
                                     std::vector<LinearReport> reports) {
  const MemoryFile file("checkpoint", packed);
  auto artifact = LayerArtifact::Open(file);
  if (!artifact.ok()) return artifact.status();
  return ReadLayerCheckpoint(*artifact, station.config(), spec, std::move(reports));
}

// What is kept of layer 0 when the process dies right after its first `count` linears, or before the layer is handed over.
LayerCheckpoint Interrupt(Station& station, const QuantSpec& spec, int count) {
  NthKeeper keeper(count);
  RecordingObserver observer;
  observer.stop_at = count == 6 ? LinearPath(0, LinearRole::kDown) : LinearPath(0, kLinearRoles[count]);
  std::vector<float> unused;
  EXPECT_EQ(station.Run({.spec = spec, .seed = 3, .keeper = &keeper}, observer, &unused).code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(keeper.kept_layer, 0);
  EXPECT_THAT(keeper.reports, SizeIs(count));
  auto checkpoint = Read(station, spec, keeper.packed, keeper.reports);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return *std::move(checkpoint);
}

void ExpectSame(const Outcome& resumed, const Outcome& whole) {
  EXPECT_EQ(resumed.layers, whole.layers);
  EXPECT_EQ(resumed.reports, whole.reports);
  EXPECT_EQ(resumed.boundary, whole.boundary);
}

TEST(LayerCheckpoint, ResumesToTheSameResultAfterEveryLinearInBothOrders) {
  for (LayerOrder order : {LayerOrder::kTrueSequential, LayerOrder::kOnePass}) {
    Station station;
    const Outcome whole = station.Quantize(TestSpec(order));
    for (int count = 1; count <= 6; ++count) {
      SCOPED_TRACE(testing::Message() << Name(order) << ", " << count << " linears");
      const LayerCheckpoint checkpoint = Interrupt(station, TestSpec(order), count);

      const Outcome resumed = station.Quantize(TestSpec(order), checkpoint);

      ExpectSame(resumed, whole);
      for (int i = 0; i < count; ++i) EXPECT_THAT(resumed.steps, Not(Contains(LinearPath(0, kLinearRoles[i]))));
      for (int i = count; i < 7; ++i) EXPECT_THAT(resumed.steps, Contains(LinearPath(0, kLinearRoles[i])));
    }
  }
}

TEST(LayerCheckpoint, ResumesEveryPackedForm) {
  QuantSpec scaled = TestSpec();
  scaled.block_scale_columns = 16;
  QuantSpec svd = TestSpec();
  svd.vector_dim = 1;
  svd.svd_rank_fraction = 0.5;
  QuantSpec half = TestSpec();
  half.codebook_dtype = CodebookDType::kFp16;
  QuantSpec reference = TestSpec();
  reference.compatibility = Compatibility::kReference;
  QuantSpec uniform;
  uniform.method = QuantMethod::kGptq;
  uniform.act_order = true;
  for (const QuantSpec& spec : {scaled, svd, half, reference, uniform}) {
    SCOPED_TRACE(testing::Message() << Name(spec.method) << ", " << spec.svd_rank_fraction << ", "
                                    << spec.block_scale_columns << ", " << static_cast<int>(spec.codebook_dtype));
    ASSERT_EQ(spec.Validate(), absl::OkStatus());
    Station station;
    const Outcome whole = station.Quantize(spec);
    for (int count : {2, 5}) ExpectSame(station.Quantize(spec, Interrupt(station, spec, count)), whole);
  }
}

TEST(LayerCheckpoint, IsResumedByTeamsAndThreadsOfAnyNumber) {
  for (LayerOrder order : {LayerOrder::kTrueSequential, LayerOrder::kOnePass}) {
    const Outcome whole = Station().Quantize(TestSpec(order));
    for (int count : {1, 4, 6}) {
      Station beginner(3);
      const LayerCheckpoint checkpoint = Interrupt(beginner, TestSpec(order), count);
      for (int ranks : {1, 2, 4}) {
        SCOPED_TRACE(testing::Message() << Name(order) << ", " << count << " linears, " << ranks << " ranks");
        ExpectSame(Station(ranks, 2).Quantize(TestSpec(order), checkpoint), whole);
      }
    }
  }
}

// Made of the layer's artifact: checkpoints of later layers are taken when a thread has time.
std::string FirstLinears(const std::string& layer_packed, const QuantSpec& spec, int layer, int count) {
  const MemoryFile file("layer", layer_packed);
  const LayerArtifact artifact = LayerArtifact::Open(file).value();
  std::vector<NamedLinear> linears;
  for (int i = 0; i < count; ++i) {
    const std::string path = LinearPath(layer, kLinearRoles[i]);
    linears.push_back({path, artifact.ReadLinear(path).value()});
  }
  MemoryDirectory memory;
  auto written = memory.Create("checkpoint").value();
  EXPECT_EQ(WriteLayerArtifact(layer, spec, linears, *written), absl::OkStatus());
  EXPECT_EQ(written->Close(), absl::OkStatus());
  return memory.Take("checkpoint");
}

TEST(LayerCheckpoint, HoldsTheFirstLinearsOfTheLayersArtifact) {
  Station station;
  const Outcome whole = station.Quantize(TestSpec());
  NthKeeper keeper(4);
  RecordingObserver observer;
  std::vector<float> unused;

  ASSERT_EQ(station.Run({.spec = TestSpec(), .seed = 3, .keeper = &keeper}, observer, &unused), absl::OkStatus());

  EXPECT_EQ(keeper.packed, FirstLinears(whole.layers[0], TestSpec(), 0, 4));
}

TEST(LayerCheckpoint, GoesOnBehindPublishedLayers) {
  Station station;
  const Outcome whole = station.Quantize(TestSpec());
  const std::vector<LinearReport> reports(whole.reports.begin() + 7, whole.reports.begin() + 10);
  const auto checkpoint = Read(station, TestSpec(), FirstLinears(whole.layers[1], TestSpec(), 1, 3), reports);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();

  const Outcome resumed = station.Quantize(TestSpec(), *checkpoint, {whole.layers[0]});

  EXPECT_EQ(resumed.layers, std::vector<std::string>{whole.layers[1]});
  EXPECT_EQ(resumed.boundary, whole.boundary);
  EXPECT_THAT(resumed.steps, Not(Contains(LinearPath(1, LinearRole::kV))));
}

TEST(LayerCheckpoint, OfAnotherLayerIsNotLookedAt) {
  Station station;
  const Outcome whole = station.Quantize(TestSpec());
  LayerCheckpoint checkpoint = Interrupt(station, TestSpec(), 3);
  checkpoint.layer = kLayers;

  ExpectSame(station.Quantize(TestSpec(), checkpoint), whole);
}

TEST(ReadLayerCheckpoint, RefusesWhatIsNotTheBeginningOfALayerOfThisModelAndSpec) {
  Station station;
  const QuantSpec spec = TestSpec();
  NthKeeper keeper(3);
  RecordingObserver observer;
  std::vector<float> unused;
  ASSERT_EQ(station.Run({.spec = spec, .seed = 3, .keeper = &keeper}, observer, &unused), absl::OkStatus());
  ASSERT_TRUE(Read(station, spec, keeper.packed, keeper.reports).ok());

  QuantSpec other_spec = spec;
  other_spec.em_iterations = 6;
  EXPECT_THAT(std::string(Read(station, other_spec, keeper.packed, keeper.reports).status().message()),
              HasSubstr("another spec"));
  const std::vector<LinearReport> fewer(keeper.reports.begin(), keeper.reports.begin() + 2);
  EXPECT_THAT(std::string(Read(station, spec, keeper.packed, fewer).status().message()),
              HasSubstr("3 linears, 2 reports"));
  std::vector<LinearReport> swapped = keeper.reports;
  std::swap(swapped[0], swapped[1]);
  EXPECT_THAT(std::string(Read(station, spec, keeper.packed, swapped).status().message()), HasSubstr("q_proj is due"));
  std::vector<LinearReport> wider = keeper.reports;
  wider[2].cols += 1;
  EXPECT_THAT(std::string(Read(station, spec, keeper.packed, wider).status().message()), HasSubstr("the model has"));
  for (std::size_t bytes : {std::size_t{0}, std::size_t{100}, keeper.packed.size() - 1}) {
    EXPECT_FALSE(Read(station, spec, keeper.packed.substr(0, bytes), keeper.reports).ok()) << bytes << " bytes";
  }
}

}  // namespace
}  // namespace gptvq

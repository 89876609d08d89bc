#include "core/pipeline/stages.h"

#include <chrono>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include "core/base/memory_file.h"
#include "core/cpu/cpu_backend.h"
#include "core/model/layer_forward.h"
#include "core/pipeline/artifact_linears.h"
#include "core/pipeline/boundary.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/constant_clock.h"
#include "tests/support/tiny_model.h"

namespace gptvq {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr std::int64_t kSamples = 6;
constexpr std::int64_t kLength = 32;

// Keeps what a stage tells, and stops it when asked to.
class RecordingObserver final : public StageObserver {
 public:
  absl::Status OnProgress(const Progress& progress) override {
    EXPECT_GE(progress.fraction, last_fraction);
    EXPECT_LE(progress.fraction, 1.0);
    last_fraction = progress.fraction;
    steps.emplace_back(progress.step);
    if (stop_at_layer == progress.layer) return absl::CancelledError("stopped by the test");
    return absl::OkStatus();
  }
  absl::Status OnLayerQuantized(int layer, std::string packed, const std::vector<LinearReport>& reports) override {
    if (refused_layer == layer) return absl::AbortedError("refused by the test");
    EXPECT_EQ(layer, first_layer + static_cast<int>(layers.size()));
    EXPECT_THAT(reports, SizeIs(7));
    layers.push_back(std::move(packed));
    return absl::OkStatus();
  }

  int first_layer = 0;
  std::optional<int> stop_at_layer;
  std::optional<int> refused_layer;
  double last_fraction = 0;
  std::vector<std::string> steps;
  std::vector<std::string> layers;
};

QuantSpec TestSpec() {
  QuantSpec spec;
  spec.vector_dim = 2;
  spec.index_bits = 4;
  spec.group_weights = 1024;
  spec.columns_per_group = 64;
  spec.em_iterations = 10;
  spec.update_iterations = 3;
  spec.refinement_passes = 1;
  return spec;
}

// One process working on one tiny model.
class Station {
 public:
  explicit Station(int threads = 1) : backend_(MakeCpuBackend({.thread_count = threads})) {
    WriteTinyModel(model_, directory_);
    auto source = SourceModel::Open(directory_);
    EXPECT_TRUE(source.ok()) << source.status();
    source_ = *std::move(source);
    tokens_ = RandomTokens(model_, kSamples * kLength, 7);
  }

  StageContext context() {
    return {*backend_, *source_, MatrixView<const std::int32_t>(tokens_.data(), kSamples, kLength), clock_};
  }
  Backend& backend() { return *backend_; }
  const SourceModel& source() const { return *source_; }
  int layer_count() const { return model_.layer_count; }

  Activations Embedded() {
    auto embedded = EmbedCalibration(context());
    EXPECT_TRUE(embedded.ok()) << embedded.status();
    return *std::move(embedded);
  }

  std::vector<float> HostValues(const Activations& activations) {
    std::vector<float> values(activations.token_count() * activations.shape().hidden_size);
    EXPECT_TRUE(activations
                    .CopyRowsToHost(
                        0, MatrixView<float>(values.data(), activations.token_count(), activations.shape().hidden_size))
                    .ok());
    return values;
  }

  // A boundary as it looks after its way through the store.
  Activations Stored(const Activations& activations) {
    MemoryDirectory memory;
    auto file = memory.Create("boundary");
    EXPECT_TRUE(WriteBoundary(activations, **file).ok());
    EXPECT_TRUE((*file)->Close().ok());
    auto back = ReadBoundary(*memory.Open("boundary"), activations.shape(), *backend_);
    EXPECT_TRUE(back.ok()) << back.status();
    return *std::move(back);
  }

 private:
  const TinyModel model_;
  MemoryDirectory directory_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<SourceModel> source_;
  std::vector<std::int32_t> tokens_;
  ConstantClock clock_;
};

LayerArtifact OpenArtifact(const std::string& packed) {
  auto artifact = LayerArtifact::Open(std::make_unique<MemoryFile>("layer", packed));
  EXPECT_TRUE(artifact.ok()) << artifact.status();
  return *std::move(artifact);
}

std::vector<std::string> QuantizeWhole(Station& station, const QuantSpec& spec = TestSpec()) {
  RecordingObserver observer;
  const auto end = QuantizeShard(station.context(), {0, station.layer_count()}, station.Embedded(),
                                 {.spec = spec, .seed = 3}, observer);
  EXPECT_TRUE(end.ok()) << end.status();
  return observer.layers;
}

TEST(QuantizeShard, GivesTheSameBytesForAnyThreadCount) {
  Station one(1);
  const std::vector<std::string> expected = QuantizeWhole(one);
  ASSERT_THAT(expected, SizeIs(one.layer_count()));

  for (int threads : {2, 7}) {
    Station many(threads);
    EXPECT_EQ(QuantizeWhole(many), expected) << threads << " threads";
  }
}

TEST(QuantizeShard, ShardsInAChainGiveTheBytesOfOneShard) {
  Station station;
  const std::vector<std::string> expected = QuantizeWhole(station);

  std::vector<std::string> layers;
  Activations boundary = station.Embedded();
  for (int begin = 0; begin < station.layer_count(); ++begin) {
    RecordingObserver observer;
    observer.first_layer = begin;
    auto next = QuantizeShard(station.context(), {begin, begin + 1}, std::move(boundary),
                              {.spec = TestSpec(), .seed = 3}, observer);
    ASSERT_TRUE(next.ok()) << next.status();
    boundary = station.Stored(*next);
    layers.insert(layers.end(), observer.layers.begin(), observer.layers.end());
  }

  EXPECT_EQ(layers, expected);
}

TEST(QuantizeShard, GoesOnFromPublishedLayersToTheSameBytes) {
  Station station;
  const std::vector<std::string> expected = QuantizeWhole(station);

  for (int finished = 1; finished <= station.layer_count(); ++finished) {
    QuantizeShardOptions options{.spec = TestSpec(), .seed = 3};
    for (int layer = 0; layer < finished; ++layer) options.published.push_back(OpenArtifact(expected[layer]));
    RecordingObserver observer;
    observer.first_layer = finished;
    auto end = QuantizeShard(station.context(), {0, station.layer_count()}, station.Embedded(), options, observer);

    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_EQ(observer.layers, std::vector<std::string>(expected.begin() + finished, expected.end()));
    EXPECT_EQ(observer.steps.front(), "replay");
  }
}

TEST(QuantizeShard, ComputesMissingLayersBetweenPublishedOnesToTheSameBytes) {
  Station station;
  const std::vector<std::string> expected = QuantizeWhole(station);
  RecordingObserver whole_observer;
  auto whole = QuantizeShard(station.context(), {0, station.layer_count()}, station.Embedded(),
                             {.spec = TestSpec(), .seed = 3}, whole_observer);
  ASSERT_TRUE(whole.ok()) << whole.status();

  for (int missing = 0; missing < station.layer_count(); ++missing) {
    QuantizeShardOptions options{.spec = TestSpec(), .seed = 3};
    for (int layer = 0; layer < station.layer_count(); ++layer) {
      if (layer != missing) options.published.push_back(OpenArtifact(expected[layer]));
    }
    RecordingObserver observer;
    observer.first_layer = missing;
    auto end = QuantizeShard(station.context(), {0, station.layer_count()}, station.Embedded(), options, observer);

    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_EQ(observer.layers, std::vector<std::string>{expected[missing]});
    EXPECT_EQ(station.HostValues(*end), station.HostValues(*whole));
  }
}

TEST(QuantizeShard, ReturnsTheActivationsOfTheQuantizedModel) {
  for (LayerOrder order : {LayerOrder::kTrueSequential, LayerOrder::kOnePass}) {
    Station station;
    QuantSpec spec = TestSpec();
    spec.layer_order = order;
    RecordingObserver observer;
    const auto end = QuantizeShard(station.context(), {0, station.layer_count()}, station.Embedded(),
                                   {.spec = spec, .seed = 3}, observer);
    ASSERT_TRUE(end.ok()) << end.status();

    Activations x = station.Embedded();
    auto forward = LayerForward::Create(station.backend(), station.source().config(), kLength);
    ASSERT_TRUE(forward.ok());
    for (int layer = 0; layer < station.layer_count(); ++layer) {
      const LayerArtifact artifact = OpenArtifact(observer.layers[layer]);
      const ArtifactLinears linears(artifact);
      const auto weights = DecoderLayer::Load(station.backend(), station.source().config(),
                                              station.source().checkpoint(), linears, layer);
      ASSERT_TRUE(weights.ok()) << weights.status();
      ASSERT_TRUE(forward->Run(*weights, x, [](LayerInput, ConstTensorView) { return absl::OkStatus(); }).ok());
    }

    EXPECT_EQ(station.HostValues(*end), station.HostValues(x)) << Name(order);
  }
}

TEST(QuantizeShard, LayerOrderMatters) {
  Station station;
  QuantSpec one_pass = TestSpec();
  one_pass.layer_order = LayerOrder::kOnePass;

  EXPECT_NE(QuantizeWhole(station), QuantizeWhole(station, one_pass));
}

TEST(QuantizeShard, StopsWithTheStatusOfTheObserver) {
  Station station;
  RecordingObserver observer;
  observer.stop_at_layer = 2;

  const auto end = QuantizeShard(station.context(), {0, station.layer_count()}, station.Embedded(),
                                 {.spec = TestSpec(), .seed = 3}, observer);

  EXPECT_EQ(end.status().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(observer.layers, SizeIs(2));
}

TEST(QuantizeShard, ARefusedLayerEndsItWithTheErrorOfThatLayer) {
  Station station;
  RecordingObserver observer;
  observer.refused_layer = 1;
  observer.stop_at_layer = 3;  // a later layer's error, should it get so far, is not what the caller hears

  const auto end = QuantizeShard(station.context(), {0, station.layer_count()}, station.Embedded(),
                                 {.spec = TestSpec(), .seed = 3}, observer);

  EXPECT_EQ(end.status(), absl::AbortedError("layer 1: refused by the test"));
  EXPECT_THAT(observer.layers, SizeIs(1));
}

// Publishes a layer only when the next one is being quantized, or after the last.
class OverlapObserver final : public StageObserver {
 public:
  explicit OverlapObserver(int last_layer) : last_layer_(last_layer) {}

  absl::Status OnProgress(const Progress& progress) override {
    if (progress.step == "calibrate" && progress.layer == begun_ + 1) {
      ++begun_;
      next_layer_begun_.release();
    }
    return absl::OkStatus();
  }
  absl::Status OnLayerQuantized(int layer, std::string, const std::vector<LinearReport>&) override {
    if (layer == last_layer_) return absl::OkStatus();
    return next_layer_begun_.try_acquire_for(std::chrono::minutes(1))
               ? absl::OkStatus()
               : absl::DeadlineExceededError("nothing was computed while a layer was published");
  }

 private:
  const int last_layer_;
  int begun_ = 0;
  std::counting_semaphore<> next_layer_begun_{0};
};

TEST(QuantizeShard, ComputesTheNextLayerWhileOneIsPublished) {
  Station station;
  OverlapObserver observer(station.layer_count() - 1);

  const auto end = QuantizeShard(station.context(), {0, station.layer_count()}, station.Embedded(),
                                 {.spec = TestSpec(), .seed = 3}, observer);

  EXPECT_TRUE(end.ok()) << end.status();
}

TEST(QuantizeShard, RefusesLayersThatAreNotThere) {
  Station station;
  RecordingObserver observer;

  for (LayerRange range : {LayerRange{-1, 2}, LayerRange{2, 2}, LayerRange{3, 5}}) {
    const auto end = QuantizeShard(station.context(), range, station.Embedded(), {.spec = TestSpec()}, observer);
    EXPECT_EQ(end.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(QuantizeShard, RefusesArtifactsOfAnotherShardOrOutOfOrder) {
  Station station;
  const std::vector<std::string> layers = QuantizeWhole(station);

  for (const auto& [given, named] : {std::pair(std::vector{2}, "layer 2"), {{1, 0}, "layer 0"}, {{1, 1}, "layer 1"}}) {
    QuantizeShardOptions options{.spec = TestSpec(), .seed = 3};
    for (int layer : given) options.published.push_back(OpenArtifact(layers[layer]));
    RecordingObserver observer;
    const auto end = QuantizeShard(station.context(), {0, 2}, station.Embedded(), options, observer);

    EXPECT_EQ(end.status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(end.status().message()), HasSubstr(named));
  }
}

TEST(CaptureShard, ShardsInAChainGiveTheActivationsOfTheWholeModel) {
  Station station;
  RecordingObserver whole_observer;
  const auto whole = CaptureShard(station.context(), {0, station.layer_count()}, station.Embedded(), whole_observer);
  ASSERT_TRUE(whole.ok()) << whole.status();

  RecordingObserver first_observer;
  auto half = CaptureShard(station.context(), {0, 2}, station.Embedded(), first_observer);
  ASSERT_TRUE(half.ok());
  RecordingObserver second_observer;
  const auto end = CaptureShard(station.context(), {2, 4}, station.Stored(*half), second_observer);
  ASSERT_TRUE(end.ok());

  EXPECT_EQ(station.HostValues(*end), station.HostValues(*whole));
}

TEST(SourceModel, NamesAMissingTensor) {
  MemoryDirectory directory;
  WriteTinyModel({.layer_count = 1}, directory);
  const std::string config = ReadWholeFile(**directory.Open("config.json"), 1 << 20).value();
  std::string two_layers = config;
  two_layers.replace(two_layers.find("_layers\": 1"), 11, "_layers\": 2");
  directory.Put("config.json", two_layers);

  const auto source = SourceModel::Open(directory);

  EXPECT_EQ(source.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(source.status().message()), HasSubstr("model.layers.1."));
}

}  // namespace
}  // namespace gptvq

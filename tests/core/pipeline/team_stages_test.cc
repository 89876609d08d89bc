// The stages of a job by teams of several backends: whatever their size, the bytes are those of one.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/backend/team.h"
#include "core/base/memory_file.h"
#include "core/cpu/cpu_backend.h"
#include "core/pipeline/sample_shares.h"
#include "core/pipeline/stages.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/constant_clock.h"
#include "tests/support/tiny_model.h"

namespace gptvq {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST(SampleShares, GiveEverySampleToOneRankInOrder) {
  for (std::int64_t samples : {1, 5, 42, 128}) {
    for (std::int64_t chunk : {1, 2, 8, 200}) {
      for (int ranks : {1, 2, 3, 7}) {
        const SampleShares shares = {
            .sample_count = samples, .sequence_length = 16, .chunk_samples = chunk, .rank_count = ranks};
        std::int64_t next = 0, counted = 0;
        for (std::int64_t round = 0; round < shares.RoundCount(); ++round) {
          const std::vector<std::int64_t> tokens = shares.TokensOfRound(round);
          for (int rank = 0; rank < ranks; ++rank) {
            const IndexRange own = shares.Samples(round, rank);
            EXPECT_EQ(own.begin, next);
            EXPECT_LE(own.count(), chunk);
            EXPECT_EQ(tokens[rank], own.count() * 16);
            next = own.end;
          }
        }
        EXPECT_EQ(next, samples);
        for (int rank = 0; rank < ranks; ++rank) counted += shares.SampleCountOf(rank);
        EXPECT_EQ(counted, samples);
      }
    }
  }
}

TEST(SampleShares, LeaveRanksWithoutAChunkInTheLastRound) {
  const SampleShares shares = {.sample_count = 5, .sequence_length = 10, .chunk_samples = 2, .rank_count = 2};
  EXPECT_EQ(shares.RoundCount(), 2);
  EXPECT_THAT(shares.TokensOfRound(0), ElementsAre(20, 20));
  EXPECT_THAT(shares.TokensOfRound(1), ElementsAre(10, 0));
}

// Six chunks of 2048 tokens, the last one of 512: whole rounds for 1, 2 and 3 ranks, a rank without a chunk for 4 and 7.
constexpr std::int64_t kSamples = 42;
constexpr std::int64_t kLength = 256;
const std::vector<int> kTeamSizes = {2, 3, 4, 7};

class KeepingObserver final : public StageObserver {
 public:
  explicit KeepingObserver(std::function<absl::Status(const Progress&)> on_progress = nullptr)
      : on_progress_(std::move(on_progress)) {}

  absl::Status OnProgress(const Progress& progress) override {
    return on_progress_ ? on_progress_(progress) : absl::OkStatus();
  }
  absl::Status OnLayerQuantized(int, std::string packed, const std::vector<LinearReport>& layer_reports) override {
    layers.push_back(std::move(packed));
    reports.insert(reports.end(), layer_reports.begin(), layer_reports.end());
    return absl::OkStatus();
  }

  std::vector<std::string> layers;
  std::vector<LinearReport> reports;

 private:
  std::function<absl::Status(const Progress&)> on_progress_;
};

QuantSpec TestSpec() {
  QuantSpec spec;
  spec.vector_dim = 2;
  spec.index_bits = 3;
  spec.group_weights = 256;
  spec.columns_per_group = 32;
  spec.em_iterations = 10;
  spec.update_iterations = 3;
  spec.refinement_passes = 1;
  return spec;
}

struct StageResult {
  std::vector<std::string> layers;
  std::vector<double> errors;
  std::vector<float> boundary;
};

// A team of CPU backends with a tiny model.
class TeamStation {
 public:
  explicit TeamStation(int size) {
    WriteTinyModel(model_, directory_);
    source_ = SourceModel::Open(directory_).value();
    tokens_ = RandomTokens(model_, kSamples * kLength, 7);
    for (int i = 0; i < size; ++i) backends_.push_back(MakeCpuBackend({.thread_count = 1}));
  }

  StageContext context() {
    std::vector<Backend*> borrowed;
    for (const auto& backend : backends_) borrowed.push_back(backend.get());
    return {Team(borrowed, interconnect_), *source_, MatrixView<const std::int32_t>(tokens_.data(), kSamples, kLength),
            clock_};
  }

  StageResult Quantize(const QuantSpec& spec, std::vector<LayerArtifact> published = {}) {
    KeepingObserver observer;
    const StageContext context = this->context();
    const auto end = QuantizeShard(context, {0, model_.layer_count}, EmbedCalibration(context).value(),
                                   {.spec = spec, .seed = 3, .published = std::move(published)}, observer);
    EXPECT_TRUE(end.ok()) << end.status();
    StageResult result{observer.layers, {}, HostValues(*end)};
    for (const LinearReport& report : observer.reports) result.errors.push_back(report.relative_error);
    return result;
  }

  absl::Status QuantizeStoppedBy(std::function<absl::Status(const Progress&)> on_progress) {
    KeepingObserver observer(std::move(on_progress));
    const StageContext context = this->context();
    return QuantizeShard(context, {0, model_.layer_count}, EmbedCalibration(context).value(),
                         {.spec = TestSpec(), .seed = 3}, observer)
        .status();
  }

  std::vector<float> Capture() {
    KeepingObserver observer;
    const StageContext context = this->context();
    const auto end = CaptureShard(context, {0, model_.layer_count}, EmbedCalibration(context).value(), observer);
    EXPECT_TRUE(end.ok()) << end.status();
    return HostValues(*end);
  }

 private:
  static std::vector<float> HostValues(const Activations& activations) {
    const std::int64_t width = activations.shape().hidden_size;
    std::vector<float> values(static_cast<std::size_t>(activations.token_count() * width));
    EXPECT_TRUE(activations.CopyRowsToHost(0, MatrixView<float>(values.data(), activations.token_count(), width)).ok());
    return values;
  }

  const TinyModel model_ = {.layer_count = 2, .intermediate_size = 600};  // a Hessian of three panels
  MemoryDirectory directory_;
  std::unique_ptr<SourceModel> source_;
  std::vector<std::int32_t> tokens_;
  ConstantClock clock_;
  HostInterconnect interconnect_;
  std::vector<std::unique_ptr<Backend>> backends_;
};

void ExpectSame(const StageResult& result, const StageResult& expected) {
  EXPECT_EQ(result.layers, expected.layers);
  EXPECT_EQ(result.errors, expected.errors);
  EXPECT_EQ(result.boundary, expected.boundary);
}

TEST(StagesOfATeam, QuantizeAModelToTheBytesOfOneBackend) {
  QuantSpec one_pass = TestSpec();
  one_pass.layer_order = LayerOrder::kOnePass;
  one_pass.block_scale_columns = 16;
  QuantSpec uniform;
  uniform.method = QuantMethod::kGptq;
  for (const QuantSpec& spec : {TestSpec(), one_pass, uniform}) {
    const StageResult expected = TeamStation(1).Quantize(spec);
    ASSERT_THAT(expected.layers, SizeIs(2));
    for (int size : kTeamSizes) {
      SCOPED_TRACE(testing::Message() << size << " ranks");
      ExpectSame(TeamStation(size).Quantize(spec), expected);
    }
  }
}

TEST(StagesOfATeam, CaptureTheBoundaryOfOneBackend) {
  const std::vector<float> expected = TeamStation(1).Capture();
  for (int size : kTeamSizes) EXPECT_EQ(TeamStation(size).Capture(), expected) << size << " ranks";
}

TEST(StagesOfATeam, ResumeWhatATeamOfAnotherSizeBegan) {
  const StageResult whole = TeamStation(4).Quantize(TestSpec());
  std::vector<LayerArtifact> published;
  published.push_back(LayerArtifact::Open(std::make_unique<MemoryFile>("layer", whole.layers.front())).value());

  const StageResult rest = TeamStation(3).Quantize(TestSpec(), std::move(published));

  EXPECT_THAT(rest.layers, ElementsAre(whole.layers.back()));
  EXPECT_EQ(rest.boundary, whole.boundary);
}

TEST(StagesOfATeam, EndWhenTheObserverSaysSoAndWorkAgain) {
  TeamStation station(3);
  for (const std::string step : {"load", "calibrate", "model.layers.0.mlp.up_proj"}) {
    const absl::Status status = station.QuantizeStoppedBy([&](const Progress& progress) {
      return progress.step == step ? absl::AbortedError("the lease is lost") : absl::OkStatus();
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << step;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("the lease is lost"));
  }
  ExpectSame(station.Quantize(TestSpec()), TeamStation(1).Quantize(TestSpec()));
}

}  // namespace
}  // namespace gptvq

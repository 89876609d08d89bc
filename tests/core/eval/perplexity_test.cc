#include "core/eval/perplexity.h"

#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "core/model/embedding.h"
#include "core/model/layer_forward.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/model/random_checkpoint.h"
#include "tests/core/model/reference_forward.h"
#include "tests/support/counting_backend.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

absl::Status Ignore(double) { return absl::OkStatus(); }

// A random model and windows of random tokens.
struct EvaluationCase {
  EvaluationCase(const ModelConfig& config, std::int64_t windows, std::int64_t length)
      : config(config),
        tensors(RandomTensors(config, 31)),
        checkpoint(config, tensors),
        linears(checkpoint.get()),
        ids(RandomIds(config, windows * length, 32)),
        windows(ids.data(), windows, length) {}

  absl::StatusOr<Perplexity> Evaluate(Backend& backend, const PerplexityOptions& options = {},
                                      EvaluationObserver observe = Ignore) const {
    return EvaluatePerplexity(backend, {config, checkpoint.get(), linears}, windows, options, observe);
  }

  const ModelConfig config;
  const Tensors tensors;
  const MemoryCheckpoint checkpoint;
  const CheckpointLinears linears;
  const std::vector<std::int32_t> ids;
  const MatrixView<const std::int32_t> windows;
};

double ReferenceMeanNll(const EvaluationCase& evaluation) {
  double sum = 0;
  for (std::int64_t w = 0; w < evaluation.windows.rows; ++w) {
    const std::int32_t* row = evaluation.windows.row(w);
    const std::vector<double> nll =
        ReferenceNll(evaluation.config, evaluation.tensors, {row, row + evaluation.windows.cols});
    sum += std::accumulate(nll.begin(), nll.end(), 0.0);
  }
  return sum / static_cast<double>(evaluation.windows.rows * (evaluation.windows.cols - 1));
}

// Three layers of f32 in front of logits of magnitude 10: each NLL is off by some 1e-5, their mean by less.
constexpr Bound kNllBound = {1e-6, "the mean of f32 log-softmaxes"};

TEST(Perplexity, IsTheExponentialOfTheMeanOverAllPredictions) {
  for (ModelFamily family : {ModelFamily::kLlama, ModelFamily::kMistral, ModelFamily::kQwen2, ModelFamily::kQwen3}) {
    const EvaluationCase evaluation(TinyConfig(family), 4, 17);
    const auto backend = MakeCpuBackend({.thread_count = 2});

    const auto result = evaluation.Evaluate(*backend);

    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->window_count, 4);
    EXPECT_EQ(result->token_count, 4 * 16);
    EXPECT_TRUE(CloseNumber(result->mean_nll, ReferenceMeanNll(evaluation), kNllBound));
    EXPECT_DOUBLE_EQ(result->value(), std::exp(result->mean_nll));
  }
}

TEST(Perplexity, StreamsAVocabularyOfTwoTiles) {
  ModelConfig config = TinyConfig(ModelFamily::kQwen3);
  config.hidden_size = 512;
  config.layer_count = 1;
  config.vocab_size = kTableTileBytes / (512 * 4) + 7;
  const EvaluationCase evaluation(config, 2, 6);
  const auto backend = MakeCpuBackend({});

  const auto result = evaluation.Evaluate(*backend);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(CloseNumber(result->mean_nll, ReferenceMeanNll(evaluation), kNllBound));
}

TEST(Perplexity, DoesNotDependOnThreadsAndHardlyOnBatches) {
  const EvaluationCase evaluation(TinyConfig(ModelFamily::kLlama), 7, 33);
  const auto backend = MakeCpuBackend({});

  const auto one_pass = evaluation.Evaluate(*backend);
  const auto one_by_one = evaluation.Evaluate(*backend, {.max_activation_bytes = 1});

  ASSERT_TRUE(one_pass.ok() && one_by_one.ok());
  EXPECT_NEAR(one_by_one->mean_nll / one_pass->mean_nll, 1, 1e-6);
  for (int threads : {2, 7}) {
    const auto threaded = MakeCpuBackend({.thread_count = threads});
    EXPECT_EQ(evaluation.Evaluate(*threaded)->mean_nll, one_pass->mean_nll);
  }
}

TEST(Perplexity, TellsItsProgressFromTheFirstChunkToTheEnd) {
  const EvaluationCase evaluation(TinyConfig(ModelFamily::kLlama), 3, 9);
  const auto backend = MakeCpuBackend({});
  std::vector<double> fractions;

  ASSERT_TRUE(evaluation
                  .Evaluate(*backend, {.max_activation_bytes = 2 * 9 * 40 * 4},
                            [&](double fraction) {
                              fractions.push_back(fraction);
                              return absl::OkStatus();
                            })
                  .ok());

  // Two batches of three layers of one chunk, and one tile of the vocabulary each.
  ASSERT_EQ(fractions.size(), 8);
  for (std::size_t i = 0; i < fractions.size(); ++i) EXPECT_DOUBLE_EQ(fractions[i], (i + 1) / 8.0);
}

TEST(Perplexity, StopsWhenItsObserverSaysSo) {
  const EvaluationCase evaluation(TinyConfig(ModelFamily::kLlama), 3, 9);
  const auto backend = MakeCpuBackend({});

  const auto result = evaluation.Evaluate(*backend, {}, [](double) { return absl::CancelledError("lease lost"); });

  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
}

TEST(Perplexity, RefusesWindowsThatPredictNothing) {
  const auto backend = MakeCpuBackend({});

  EXPECT_EQ(EvaluationCase(TinyConfig(ModelFamily::kLlama), 0, 9).Evaluate(*backend).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(EvaluationCase(TinyConfig(ModelFamily::kLlama), 3, 1).Evaluate(*backend).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Perplexity, RefusesWindowsBeyondTheModelsPositions) {
  ModelConfig config = TinyConfig(ModelFamily::kLlama);
  config.max_positions = 8;
  const auto backend = MakeCpuBackend({});

  EXPECT_EQ(EvaluationCase(config, 1, 9).Evaluate(*backend).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(EvaluationCase(config, 1, 8).Evaluate(*backend).ok());
}

// Linears so large that f32 overflows on the way.
class HugeLinears final : public LinearSource {
 public:
  absl::Status ReadWeight(int, LinearRole, MatrixView<float> weight_out) const override {
    for (std::int64_t r = 0; r < weight_out.rows; ++r) std::fill_n(weight_out.row(r), weight_out.cols, 1e30f);
    return absl::OkStatus();
  }
};

TEST(Perplexity, NamesTheWindowWhoseOutputIsNotANumber) {
  const EvaluationCase evaluation(TinyConfig(ModelFamily::kMistral), 2, 9);
  const auto backend = MakeCpuBackend({});
  const HugeLinears linears;

  const auto result = EvaluatePerplexity(*backend, {evaluation.config, evaluation.checkpoint.get(), linears},
                                         evaluation.windows, {}, Ignore);

  EXPECT_EQ(result.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(result.status().message()), testing::HasSubstr("window 0"));
}

TEST(Perplexity, HoldsOneLayerHoweverManyThereAre) {
  std::vector<std::size_t> peaks;
  for (int layers : {2, 12}) {
    ModelConfig config = TinyConfig(ModelFamily::kMistral);
    config.layer_count = layers;
    config.sliding_windows.assign(layers, 0);
    CountingBackend backend(MakeCpuBackend({}));

    ASSERT_TRUE(EvaluationCase(config, 4, 64).Evaluate(backend).ok());

    EXPECT_EQ(backend.count().held_bytes(), 0);
    peaks.push_back(backend.count().peak_bytes());
  }
  EXPECT_EQ(peaks[1], peaks[0]);
}

TEST(Perplexity, HoldsAsManyActivationsAsItMay) {
  const ModelConfig config = TinyConfig(ModelFamily::kMistral);
  std::vector<std::size_t> peaks;
  for (std::int64_t windows : {16, 200}) {
    CountingBackend backend(MakeCpuBackend({}));
    ASSERT_TRUE(EvaluationCase(config, windows, 64).Evaluate(backend, {.max_activation_bytes = 16 * 64 * 40 * 4}).ok());
    peaks.push_back(backend.count().peak_bytes());
  }
  EXPECT_EQ(peaks[1], peaks[0]);
}

}  // namespace
}  // namespace gptvq

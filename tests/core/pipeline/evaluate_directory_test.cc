#include "core/pipeline/evaluate_directory.h"

#include <cmath>
#include <memory>
#include <vector>

#include "core/base/memory_file.h"
#include "core/cpu/cpu_backend.h"
#include "core/format/assemble.h"
#include "core/format/export_dequantized.h"
#include "core/pipeline/stages.h"
#include "gtest/gtest.h"
#include "tests/support/constant_clock.h"
#include "tests/support/tiny_model.h"

namespace gptvq {
namespace {

constexpr std::int64_t kWindows = 4;
constexpr std::int64_t kLength = 48;

class CollectingObserver final : public StageObserver {
 public:
  absl::Status OnProgress(const Progress&) override { return absl::OkStatus(); }
  absl::Status OnLayerQuantized(int, std::string packed, const std::vector<LinearReport>& layer_reports) override {
    auto artifact = LayerArtifact::Open(std::make_unique<MemoryFile>("layer", std::move(packed)));
    if (!artifact.ok()) return artifact.status();
    artifacts.push_back(*std::move(artifact));
    reports.insert(reports.end(), layer_reports.begin(), layer_reports.end());
    return absl::OkStatus();
  }

  std::vector<LayerArtifact> artifacts;
  std::vector<LinearReport> reports;
};

// A tiny model taken all the way: quantized, assembled, exported.
class EvaluateDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteTinyModel(model_, source_);
    backend_ = MakeCpuBackend({.thread_count = 1});
    windows_ = RandomTokens(model_, kWindows * kLength, 11);
  }

  void Quantize(int index_bits) {
    auto source = SourceModel::Open(source_);
    ASSERT_TRUE(source.ok()) << source.status();
    QuantSpec spec;
    spec.vector_dim = 1;
    spec.index_bits = index_bits;
    spec.group_weights = 512;
    spec.columns_per_group = 32;
    spec.codebook_dtype = CodebookDType::kFp16;
    const std::vector<std::int32_t> tokens = RandomTokens(model_, 8 * kLength, 5);
    const ConstantClock clock;
    const StageContext context{*backend_, **source, MatrixView<const std::int32_t>(tokens.data(), 8, kLength), clock};
    CollectingObserver observer;
    auto embedded = EmbedCalibration(context);
    ASSERT_TRUE(embedded.ok());
    const auto end = QuantizeShard(context, {0, model_.layer_count}, *std::move(embedded), {.spec = spec}, observer);
    ASSERT_TRUE(end.ok()) << end.status();
    AssembleOptions options;
    options.facts.tool_version = "test";
    options.facts.spec = spec;
    options.facts.propagation = "sequential";
    options.facts.shard_layers = model_.layer_count;
    options.facts.numerics_class = backend_->numerics_class();
    options.facts.linears = observer.reports;
    const auto assembled = AssembleCheckpoint(source_, (*source)->checkpoint(), observer.artifacts, options, result_);
    ASSERT_TRUE(assembled.ok()) << assembled.status();
  }

  double Evaluate(const ReadableDirectory& directory) {
    const auto perplexity =
        EvaluateDirectory(*backend_, directory, MatrixView<const std::int32_t>(windows_.data(), kWindows, kLength),
                          [](double) { return absl::OkStatus(); });
    EXPECT_TRUE(perplexity.ok()) << perplexity.status();
    return perplexity.ok() ? perplexity->value() : std::nan("");
  }

  const TinyModel model_;
  MemoryDirectory source_;
  MemoryDirectory result_;
  std::unique_ptr<Backend> backend_;
  std::vector<std::int32_t> windows_;
};

TEST_F(EvaluateDirectoryTest, AFineQuantizationKeepsThePerplexityOfTheSource) {
  Quantize(8);

  const double source = Evaluate(source_);

  // 256 half-precision centroids for 512 weights: every weight is off by less than a hundredth of their spread.
  EXPECT_NEAR(Evaluate(result_) / source, 1.0, 5e-3);
  // Random weights know nothing of random text: the perplexity is about the vocabulary size.
  EXPECT_GT(source, 0.5 * model_.vocab_size);
}

TEST_F(EvaluateDirectoryTest, TheDequantizedExportHasThePerplexityOfThePackedResult) {
  Quantize(3);
  MemoryDirectory exported;
  const absl::Status status = ExportDequantized(result_, {.dtype = DType::kF32}, exported);
  ASSERT_TRUE(status.ok()) << status;

  const double packed = Evaluate(result_);

  EXPECT_EQ(Evaluate(exported), packed);
  EXPECT_NE(packed, Evaluate(source_));
}

TEST_F(EvaluateDirectoryTest, ADirectoryWithoutAModelIsNotFound) {
  const MemoryDirectory empty;

  const auto perplexity =
      EvaluateDirectory(*backend_, empty, MatrixView<const std::int32_t>(windows_.data(), kWindows, kLength),
                        [](double) { return absl::OkStatus(); });

  EXPECT_EQ(perplexity.status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace gptvq

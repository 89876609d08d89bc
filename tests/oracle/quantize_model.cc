// Quantizes a model in this process, as one shard, on rows of token ids: a result to try readers and exports on. Few
// iterations: what is tested is what becomes of the numbers, not how good they are.
//
// usage: quantize_model MODEL_DIRECTORY IDS_FILE PRESET RESULT_DIRECTORY

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/memory_file.h"
#include "core/base/monotonic_clock.h"
#include "core/base/status_macros.h"
#include "core/format/assemble.h"
#include "core/format/layer_artifact.h"
#include "core/pipeline/source_model.h"
#include "core/pipeline/stages.h"
#include "core/spec/presets.h"
#include "tests/oracle/model_under_test.h"

namespace gptvq {
namespace {

class StoppedClock final : public MonotonicClock {
 public:
  double NowSeconds() const override { return 0; }
};

class LayerCollector final : public StageObserver {
 public:
  absl::Status OnProgress(const Progress&) override { return absl::OkStatus(); }
  absl::Status OnLayerQuantized(int, std::string packed, const std::vector<LinearReport>& layer_reports) override {
    GPTVQ_ASSIGN_OR_RETURN(LayerArtifact layer,
                           LayerArtifact::Open(std::make_unique<MemoryFile>("layer", std::move(packed))));
    layers.push_back(std::move(layer));
    reports.insert(reports.end(), layer_reports.begin(), layer_reports.end());
    return absl::OkStatus();
  }

  std::vector<LayerArtifact> layers;
  std::vector<LinearReport> reports;
};

absl::Status QuantizeModel(const std::string& model_path, const TokenRows& tokens, const std::string& preset,
                           const std::string& result_path) {
  GPTVQ_ASSIGN_OR_RETURN(QuantSpec spec, FindPreset(preset));
  spec.em_iterations = 5;
  spec.update_iterations = 2;
  spec.refinement_passes = 0;
  const auto source = OpenDirectory(model_path);
  const auto result = CreateDirectory(result_path);
  GPTVQ_ASSIGN_OR_RETURN(const auto model, SourceModel::Open(*source));

  const auto backend = MakeTestBackend();
  const StoppedClock clock;
  const StageContext context = {*backend, *model, tokens.view(), clock};
  LayerCollector collector;
  GPTVQ_ASSIGN_OR_RETURN(Activations x, EmbedCalibration(context));
  const LayerRange all = {0, model->config().layer_count};
  GPTVQ_RETURN_IF_ERROR(QuantizeShard(context, all, std::move(x), {.spec = spec, .seed = 1}, collector).status());

  AssembleOptions options;
  options.facts.spec = spec;
  options.facts.seed = 1;
  options.facts.propagation = "sequential";
  options.facts.shard_layers = all.count();
  options.facts.linears = collector.reports;
  return AssembleCheckpoint(*source, model->checkpoint(), collector.layers, options, *result).status();
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: %s MODEL_DIRECTORY IDS_FILE PRESET RESULT_DIRECTORY\n", argv[0]);
    return 2;
  }
  gptvq::ExitUnlessOk(gptvq::QuantizeModel(argv[1], gptvq::TokenRows(argv[2]), argv[3], argv[4]));
  return 0;
}

// Writes the logits of a model for rows of token ids, to be compared with those of transformers.
//
// usage: model_logits MODEL_DIRECTORY IDS_FILE LOGITS_FILE     LOGITS_FILE: [tokens, vocabulary] f32

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "core/backend/device_matrix.h"
#include "core/base/status_macros.h"
#include "core/model/decoder_layer.h"
#include "core/model/embedding.h"
#include "core/model/layer_forward.h"
#include "core/model/linear_source.h"
#include "core/model/output_head.h"
#include "core/pipeline/source_model.h"
#include "tests/oracle/model_under_test.h"

namespace gptvq {
namespace {

absl::StatusOr<std::vector<float>> ComputeLogits(const std::string& directory_path, const TokenRows& tokens) {
  const auto directory = OpenDirectory(directory_path);
  const auto backend = MakeTestBackend();
  GPTVQ_ASSIGN_OR_RETURN(const auto model, SourceModel::Open(*directory));
  const ModelConfig& config = model->config();
  const CheckpointLinears linears(model->checkpoint());
  GPTVQ_ASSIGN_OR_RETURN(Activations x, EmbedTokens(*backend, config, model->checkpoint(), tokens.view()));
  GPTVQ_ASSIGN_OR_RETURN(LayerForward forward, LayerForward::Create(*backend, config, tokens.view().cols));
  for (int index = 0; index < config.layer_count; ++index) {
    GPTVQ_ASSIGN_OR_RETURN(const DecoderLayer layer,
                           DecoderLayer::Load(*backend, config, model->checkpoint(), linears, index));
    GPTVQ_RETURN_IF_ERROR(forward.Run(layer, x, [](LayerInput, ConstTensorView) { return absl::OkStatus(); }));
  }
  GPTVQ_RETURN_IF_ERROR(ApplyFinalNorm(*backend, config, model->checkpoint(), x));

  std::vector<float> logits(static_cast<std::size_t>(x.token_count() * config.vocab_size));
  const MatrixView<float> all(logits.data(), x.token_count(), config.vocab_size);
  GPTVQ_RETURN_IF_ERROR(ForEachHeadTile(
      *backend, config, model->checkpoint(), [&](std::int64_t first_token, ConstTensorView head) -> absl::Status {
        GPTVQ_ASSIGN_OR_RETURN(DeviceTensor tile, DeviceTensor::Allocate(*backend, x.token_count(), head.rows));
        GPTVQ_RETURN_IF_ERROR(backend->forward().Linear(x.view(), head, {}, tile.view()));
        return backend->CopyToHost(tile.view(), all.Cols(first_token, head.rows));
      }));
  return logits;
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s MODEL_DIRECTORY IDS_FILE LOGITS_FILE\n", argv[0]);
    return 2;
  }
  const absl::StatusOr<std::vector<float>> logits = gptvq::ComputeLogits(argv[1], gptvq::TokenRows(argv[2]));
  gptvq::ExitUnlessOk(logits.status());
  std::ofstream file(argv[3], std::ios::binary);
  file.write(reinterpret_cast<const char*>(logits->data()),
             static_cast<std::streamsize>(logits->size() * sizeof(float)));
  return file.good() ? 0 : 1;
}

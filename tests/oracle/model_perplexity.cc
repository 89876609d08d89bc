// Prints the perplexity of a model on rows of token ids, to be compared with that of transformers.
//
// usage: model_perplexity MODEL_DIRECTORY IDS_FILE

#include <cstdio>

#include "core/eval/perplexity.h"
#include "core/model/linear_source.h"
#include "tests/oracle/model_under_test.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s MODEL_DIRECTORY IDS_FILE\n", argv[0]);
    return 2;
  }
  const gptvq::ModelUnderTest model(argv[1]);
  const gptvq::TokenRows tokens(argv[2]);
  const gptvq::CheckpointLinears linears(*model.checkpoint);
  const absl::StatusOr<gptvq::Perplexity> perplexity =
      gptvq::EvaluatePerplexity(*model.backend, {model.config, *model.checkpoint, linears}, tokens.view(), {},
                                [](double) { return absl::OkStatus(); });
  gptvq::ExitUnlessOk(perplexity.status());
  std::printf("%.9g\n", perplexity->value());
  return 0;
}

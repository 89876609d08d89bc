// Prints the perplexity of a model, or of a result, on rows of token ids, to be compared with that of transformers.
//
// usage: model_perplexity DIRECTORY IDS_FILE

#include <cstdio>

#include "core/pipeline/evaluate_directory.h"
#include "tests/oracle/model_under_test.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s DIRECTORY IDS_FILE\n", argv[0]);
    return 2;
  }
  const auto directory = gptvq::OpenDirectory(argv[1]);
  const auto backend = gptvq::MakeTestBackend();
  const gptvq::TokenRows tokens(argv[2]);
  const absl::StatusOr<gptvq::Perplexity> perplexity =
      gptvq::EvaluateDirectory(*backend, *directory, tokens.view(), [](double) { return absl::OkStatus(); });
  gptvq::ExitUnlessOk(perplexity.status());
  std::printf("%.9g\n", perplexity->value());
  return 0;
}

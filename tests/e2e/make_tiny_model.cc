// Writes a random model directory and token-id files for the end-to-end tests:
//   make_tiny_model DIRECTORY LAYERS HIDDEN
// DIRECTORY/model holds the model, DIRECTORY/calibration.jsonl and DIRECTORY/held_out.jsonl one document of ids each.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_join.h"
#include "core/base/check.h"
#include "platform/object_store/object_uri.h"
#include "platform/object_store/storage.h"
#include "tests/support/tiny_model.h"

namespace gptvq {
namespace {

void WriteIds(const std::filesystem::path& path, const TinyModel& model, std::uint64_t seed) {
  constexpr int kDocuments = 32;
  constexpr int kTokensPerDocument = 512;
  std::ofstream stream(path);
  for (int document = 0; document < kDocuments; ++document) {
    stream << "{\"input_ids\": [" << absl::StrJoin(RandomTokens(model, kTokensPerDocument, seed + document), ", ")
           << "]}\n";
  }
  GPTVQ_CHECK(stream.good());
}

void Run(const std::filesystem::path& directory, int layers, int hidden) {
  TinyModel model;
  model.layer_count = layers;
  model.hidden_size = hidden;
  model.intermediate_size = hidden * 3 / 2;
  const auto uri = ObjectUri::ParseArgument((directory / "model").string());
  GPTVQ_CHECK(uri.ok());
  auto output = Storage({}).CreateDirectory(*uri);
  GPTVQ_CHECK(output.ok());
  WriteTinyModel(model, **output);
  WriteIds(directory / "calibration.jsonl", model, 1000);
  WriteIds(directory / "held_out.jsonl", model, 2000);
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: make_tiny_model DIRECTORY LAYERS HIDDEN\n");
    return 2;
  }
  gptvq::Run(argv[1], std::atoi(argv[2]), std::atoi(argv[3]));
  return 0;
}

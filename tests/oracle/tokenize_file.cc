// Prints the token ids of texts, for tokenizer_test.py to compare with those of the reference libraries.
//
// usage: tokenize_file MODEL_DIR TEXTS_FILE
//
// TEXTS_FILE holds any number of texts, each as its length in bytes in decimal, a newline, and the bytes. For each, one
// line of ids goes to standard output: those of the whole document, with what the tokenizer puts around it.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status_macros.h"
#include "core/text/tokenizer.h"
#include "platform/object_store/object_uri.h"
#include "platform/object_store/storage.h"

namespace {

std::string ReadFile(const char* path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

absl::StatusOr<std::unique_ptr<gptvq::Tokenizer>> Load(const char* model_dir) {
  GPTVQ_ASSIGN_OR_RETURN(const auto uri, gptvq::ObjectUri::ParseArgument(model_dir));
  GPTVQ_ASSIGN_OR_RETURN(const auto directory, gptvq::Storage(gptvq::StorageOptions()).OpenDirectory(uri));
  return gptvq::LoadTokenizer(*directory);
}

void AppendIds(const std::vector<gptvq::TokenId>& ids, std::string& line) {
  for (const gptvq::TokenId id : ids) line += std::to_string(id) + ' ';
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: tokenize_file MODEL_DIR TEXTS_FILE\n");
    return 2;
  }
  const auto tokenizer = Load(argv[1]);
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", tokenizer.status().ToString().c_str());
    return 1;
  }
  const gptvq::SpecialTokens& special = (*tokenizer)->special_tokens();
  const std::string texts = ReadFile(argv[2]);
  for (std::size_t position = 0; position < texts.size();) {
    char* digits_end = nullptr;
    const std::size_t size = std::strtoull(texts.data() + position, &digits_end, 10);
    position = static_cast<std::size_t>(digits_end - texts.data()) + 1;
    const auto ids = (*tokenizer)->Encode(std::string_view(texts).substr(position, size));
    if (!ids.ok()) {
      std::fprintf(stderr, "text at byte %zu: %s\n", position, ids.status().ToString().c_str());
      return 1;
    }
    position += size;
    std::string line;
    AppendIds(special.document_prefix, line);
    AppendIds(*ids, line);
    AppendIds(special.document_suffix, line);
    std::puts(line.c_str());
  }
  return 0;
}

// Any bytes as a tokenizer.json: refused, or a tokenizer whose ids stay inside its vocabulary.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/text/tokenizer_json.h"
#include "tests/fuzz/tokenizer_exercise.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = gptvq::ParseTokenizerJson(bytes, {.bos_token = "<s>", .eos_token = "</s>"});
  if (tokenizer.ok()) gptvq::ExerciseTokenizer(**tokenizer);
  return 0;
}

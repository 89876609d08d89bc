// Any text as config.json: the edits refuse it, or adding a key and removing it gives the text back; the reader of
// quantization_config survives it.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/format/config_text.h"
#include "core/format/quantization_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto modules = gptvq::ParseQuantizationConfig(text);
  if (modules.ok()) {
    const auto again = gptvq::ParsePackedModules(gptvq::PackedModulesText(*modules));
    if (!again.ok() || *again != *modules) std::abort();
  }
  const auto added = gptvq::AddTopLevelKey(text, "a new key", "{\n  \"x\": [1, \"}\"]\n}");
  if (!added.ok()) return 0;
  const auto removed = gptvq::RemoveTopLevelKey(*added, "a new key");
  if (!removed.ok() || *removed != text) std::abort();
  return 0;
}

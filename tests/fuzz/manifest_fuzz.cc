// Any text as gptvq_manifest.json: refused, or what was read is written and read again without change.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/format/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto manifest = gptvq::ParseManifest(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!manifest.ok()) return 0;
  const auto text = gptvq::ManifestText(*manifest);
  if (!text.ok()) std::abort();
  const auto again = gptvq::ParseManifest(*text);
  if (!again.ok() || *gptvq::ManifestText(*again) != *text) std::abort();
  return 0;
}

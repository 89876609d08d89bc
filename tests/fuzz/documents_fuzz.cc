// Any bytes as a calibration file of any format: refused, or parts that hold what DocumentPart promises.

#include <cstdint>
#include <string>

#include "core/base/check.h"
#include "core/base/memory_file.h"
#include "core/text/documents.h"
#include "core/text/unicode.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  // Small limits, so that small inputs reach them.
  const gptvq::DocumentOptions options{.vocabulary_size = 1000, .max_line_bytes = 4096, .part_bytes = 64};
  for (const char* name : {"a.txt", "a.jsonl", "a.ids"}) {
    const gptvq::MemoryFile file(name, bytes);
    const auto format = gptvq::DetectDocumentFormat(file, options);
    if (!format.ok()) continue;
    bool is_open = false;
    const auto status = gptvq::ReadDocuments(file, *format, options, [&](const gptvq::DocumentPart& part) {
      GPTVQ_CHECK(part.begins_document != is_open);
      GPTVQ_CHECK(part.text.empty() != part.ids.empty());
      GPTVQ_CHECK(gptvq::unicode::FindInvalidUtf8(part.text) == part.text.size());
      for (const gptvq::TokenId id : part.ids) GPTVQ_CHECK(id >= 0 && id < options.vocabulary_size);
      is_open = !part.ends_document;
      return absl::OkStatus();
    });
    GPTVQ_CHECK(!status.ok() || !is_open);
  }
  return 0;
}

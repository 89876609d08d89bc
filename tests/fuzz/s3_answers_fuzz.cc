// Any text as each of the answers of S3 and STS: refused or understood, and a page that is understood has sound entries.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "platform/object_store/s3_answers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const bool is_xml = !gptvq::RootElement(text).empty();
  const auto objects = gptvq::ParseObjectPage(text);
  const auto uploads = gptvq::ParseUploadPage(text);
  const auto parts = gptvq::ParsePartPage(text);
  const auto role = gptvq::ParseAssumedRole(text);
  const bool is_understood = objects.ok() || uploads.ok() || parts.ok() || role.ok() ||
                             gptvq::ParseUploadId(text).ok() || gptvq::ParseCompletedEtag(text).ok() ||
                             gptvq::ParseS3Error(text).has_value();
  if (is_understood && !is_xml) std::abort();
  if (objects.ok()) {
    for (const gptvq::ListedObject& object : objects->objects) {
      if (object.key.empty()) std::abort();
    }
  }
  if (uploads.ok() && uploads->next_key.empty() != uploads->next_upload_id.empty()) std::abort();
  gptvq::ParseHttpDate(text);
  return 0;
}

#include "platform/object_store/object_store.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace gptvq {

bool IsObjectKey(std::string_view key) {
  if (key.size() > kMaxKeyBytes) return false;
  int segment_count = 0;
  for (std::size_t begin = 0; begin <= key.size();) {
    const std::size_t end = std::min(key.find('/', begin), key.size());
    const std::string_view segment = key.substr(begin, end - begin);
    if (!IsPlainFileName(segment) || segment.starts_with(kTemporaryPrefix)) return false;
    if (++segment_count > kMaxKeySegments) return false;
    begin = end + 1;
  }
  return true;
}

absl::Status CheckObjectKey(std::string_view key) {
  if (IsObjectKey(key)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "not an object key: '",
      absl::Utf8SafeCHexEscape(absl::string_view(key.data(), std::min<std::size_t>(key.size(), 120))), "'"));
}

}  // namespace gptvq

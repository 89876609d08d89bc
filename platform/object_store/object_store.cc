#include "platform/object_store/object_store.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

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

absl::Status CheckSameObject(const ObjectStore& store, std::string_view key, absl::Span<const std::byte> bytes) {
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<RandomAccessFile> file, store.Open(key));
  if (file->size() == bytes.size()) {
    GPTVQ_ASSIGN_OR_RETURN(const std::string there, ReadWholeFile(*file, bytes.size()));
    if (std::equal(bytes.begin(), bytes.end(), AsBytes(there).begin())) return absl::OkStatus();
  }
  return absl::AlreadyExistsError(
      absl::StrCat(std::string(store.name()), "/", std::string(key), ": another object is there already"));
}

}  // namespace gptvq

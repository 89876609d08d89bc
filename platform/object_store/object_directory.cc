#include "platform/object_store/object_directory.h"

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

// A key may have several segments; the name of a file may not.
absl::Status CheckFileName(std::string_view file_name) {
  if (file_name.find('/') != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("not a plain file name: '", std::string(file_name), "'"));
  }
  return CheckObjectKey(file_name);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ObjectDirectory::List() const {
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> objects, store_->List("", ListScope::kDirect));
  std::vector<std::string> names;
  names.reserve(objects.size());
  for (const ObjectInfo& object : objects) names.push_back(object.key);
  return names;
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> ObjectDirectory::Open(std::string_view file_name) const {
  GPTVQ_RETURN_IF_ERROR(CheckFileName(file_name));
  return store_->Open(file_name);
}

absl::StatusOr<std::unique_ptr<WritableFile>> ObjectDirectory::Create(std::string_view file_name) {
  GPTVQ_RETURN_IF_ERROR(CheckFileName(file_name));
  return store_->Create(file_name);
}

absl::Status ObjectDirectory::PutNew(std::string_view file_name, absl::Span<const std::byte> bytes) {
  GPTVQ_RETURN_IF_ERROR(CheckFileName(file_name));
  return store_->PutNew(file_name, bytes);
}

}  // namespace gptvq

#include "platform/object_store/linked_directory.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/object_store/local_object_store.h"
#include "platform/object_store/object_store.h"

namespace gptvq {

LinkedDirectory::LinkedDirectory(ConfinedDirectory root, std::string relative, ConfinedDirectory::Links links)
    : root_(std::move(root)),
      relative_(std::move(relative)),
      links_(links),
      name_(absl::StrCat("file://", root_.path(), relative_.empty() ? "" : "/", relative_)) {}

absl::StatusOr<std::vector<std::string>> LinkedDirectory::List() const {
  GPTVQ_ASSIGN_OR_RETURN(const ConfinedDirectory directory, root_.OpenDirectory(relative_, links_));
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, directory.List());
  std::vector<std::string> names;
  for (const DirectoryEntry& entry : entries) {
    const bool is_file = S_ISREG(entry.info.st_mode) || (S_ISLNK(entry.info.st_mode) && LeadsToAFile(entry.name));
    if (is_file && IsObjectKey(entry.name)) names.push_back(entry.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> LinkedDirectory::Open(std::string_view file_name) const {
  if (!IsPlainFileName(file_name)) {
    return absl::InvalidArgumentError(absl::StrCat("not a plain file name: '", std::string(file_name), "'"));
  }
  return OpenLocalFile(root_, PathOf(file_name), std::string(file_name), links_);
}

std::string LinkedDirectory::PathOf(std::string_view file_name) const {
  return absl::StrCat(relative_, relative_.empty() ? "" : "/", std::string(file_name));
}

bool LinkedDirectory::LeadsToAFile(std::string_view file_name) const {
  const absl::StatusOr<FileDescriptor> place = root_.OpenFile(PathOf(file_name), O_PATH, links_);
  struct stat info;
  return place.ok() && fstat(place->get(), &info) == 0 && S_ISREG(info.st_mode);
}

}  // namespace gptvq

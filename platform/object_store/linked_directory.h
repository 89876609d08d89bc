#ifndef GPTVQ_PLATFORM_OBJECT_STORE_LINKED_DIRECTORY_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_LINKED_DIRECTORY_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "platform/object_store/confined_directory.h"

namespace gptvq {

// A directory of the local file system for reading, symbolic links included: a snapshot in the cache of Hugging Face
// consists of links to files beside it (docs/adr/0005). A link to anything but a regular file is left out of lists and
// refused. Immutable, thread-safe. Files may outlive it.
class LinkedDirectory final : public ReadableDirectory {
 public:
  // The directory `relative` below `root` ("": `root` itself), which need not exist. Links inside it are treated as
  // `links` says, seen from `root`.
  LinkedDirectory(ConfinedDirectory root, std::string relative, ConfinedDirectory::Links links);

  std::string_view name() const override { return name_; }
  // Errors: NotFound when there is no such directory.
  absl::StatusOr<std::vector<std::string>> List() const override;
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view file_name) const override;

 private:
  std::string PathOf(std::string_view file_name) const;
  bool LeadsToAFile(std::string_view file_name) const;

  const ConfinedDirectory root_;
  const std::string relative_;
  const ConfinedDirectory::Links links_;
  const std::string name_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_LINKED_DIRECTORY_H_

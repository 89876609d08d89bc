#ifndef GPTVQ_PLATFORM_OBJECT_STORE_LOCAL_OBJECT_STORE_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_LOCAL_OBJECT_STORE_H_

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "platform/object_store/confined_directory.h"
#include "platform/object_store/object_store.h"

namespace gptvq {

struct LocalObjectStoreOptions {
  // How long nothing was added to what was saved, by the clock of the file system, before RemoveAbandonedWrites removes it.
  std::chrono::hours abandoned_after{24};
};

// Objects as files below one directory, for file:// URIs. A write goes to a temporary file beside its target and
// becomes visible by fsync, rename and fsync of the directory; it is locked (flock) while its writer lives, which is
// how RemoveAbandonedWrites knows the dead ones, and how Resume knows that nobody else writes: then it is NotFound. What is saved
// is that file, with fsync, under a name that RemoveAbandonedWrites spares for a day. Reads are pread, never mmap, so a file that shrinks is an error and
// not a signal. PutNew renames with RENAME_NOREPLACE, or makes a hard link where the file system has no such rename. Nothing above or outside the directory can be reached (ConfinedDirectory). Thread-safe.
class LocalObjectStore final : public ObjectStore {
 public:
  explicit LocalObjectStore(ConfinedDirectory root, LocalObjectStoreOptions options = {});

  std::string_view name() const override { return name_; }
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(std::string_view key) override;
  absl::StatusOr<std::unique_ptr<ResumableFile>> CreateResumable(std::string_view key) override;
  absl::StatusOr<std::unique_ptr<ResumableFile>> Resume(std::string_view key, std::string_view ticket) override;
  absl::Status PutNew(std::string_view key, absl::Span<const std::byte> bytes) override;
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view key) const override;
  absl::StatusOr<ObjectInfo> Stat(std::string_view key) const override;
  absl::StatusOr<std::vector<ObjectInfo>> List(std::string_view directory, ListScope scope) const override;
  absl::Status Delete(std::string_view key) override;
  absl::Status RemoveAbandonedWrites(ListScope scope) override;

 private:
  // What Close() does where something has the name.
  enum class Existing { kReplace, kKeep };
  class NewFile;
  absl::StatusOr<std::unique_ptr<NewFile>> Begin(std::string_view key, std::string_view prefix, Existing existing);

  const ConfinedDirectory root_;
  const std::string name_;
  const LocalObjectStoreOptions options_;
};

// One regular file below `directory`, at any path that the file system allows. Opening a pipe or a device is refused and
// neither waits nor has an effect on it. `name` is what the file calls itself. Errors: those of ObjectStore.
absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenLocalFile(
    const ConfinedDirectory& directory, std::string_view relative_path, std::string name,
    ConfinedDirectory::Links links = ConfinedDirectory::Links::kRefused);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_LOCAL_OBJECT_STORE_H_

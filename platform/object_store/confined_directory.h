#ifndef GPTVQ_PLATFORM_OBJECT_STORE_CONFINED_DIRECTORY_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_CONFINED_DIRECTORY_H_

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace gptvq {

// An open file of the operating system. Owns the descriptor and closes it.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor();

  int get() const { return fd_; }
  // Gives the descriptor away.
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

// The status for a failed system call: "context: No such file or directory", with the code that ObjectStore's contract
// gives to the cause.
absl::Status ErrnoToStatus(int error_number, std::string_view context);

struct DirectoryEntry {
  std::string name;
  struct stat info;  // of the entry itself, not of what a symbolic link points to
};

// A directory of the local file system out of which no path leads: below it neither symbolic links nor ".." are
// followed, not even when they are put there between check and use, unless the caller asks for links. Immutable,
// thread-safe. Owns its descriptor.
class ConfinedDirectory {
 public:
  // What becomes of a symbolic link on the way to a file.
  enum class Links {
    kRefused,
    kInside,    // followed while it leads nowhere outside this directory; refused by Resolver::kWalk
    kAnywhere,  // followed, for processes that may open every file by its path as well
  };

  enum class Resolver {
    kBest,  // the kernel's openat2, or the walk where the kernel or a sandbox does not offer it
    kWalk,  // segment by segment with O_NOFOLLOW
  };

  // `path` is absolute; its own symbolic links are followed: whoever names the root decides where it is.
  static absl::StatusOr<ConfinedDirectory> Open(const std::string& path, Resolver resolver = Resolver::kBest);

  // As Open, after making what is missing of `path`.
  static absl::StatusOr<ConfinedDirectory> Create(const std::string& path);

  // The directory `relative` below this one; "" is this one again.
  absl::StatusOr<ConfinedDirectory> OpenDirectory(std::string_view relative, Links links = Links::kRefused) const;

  // As OpenDirectory, after making what is missing, durably.
  absl::StatusOr<ConfinedDirectory> MakeDirectories(std::string_view relative) const;

  // open(2) below this directory. `relative` is a path of segments joined by '/', none empty, "." or "..".
  absl::StatusOr<FileDescriptor> OpenFile(std::string_view relative, int flags, Links links = Links::kRefused) const;

  // What it holds except "." and "..", in no order.
  absl::StatusOr<std::vector<DirectoryEntry>> List() const;

  // For the *at(2) family, with single names only.
  int fd() const { return fd_.get(); }
  // For messages.
  const std::string& path() const { return path_; }

 private:
  ConfinedDirectory(FileDescriptor fd, std::string path, Resolver resolver)
      : fd_(std::move(fd)), path_(std::move(path)), resolver_(resolver) {}

  absl::StatusOr<FileDescriptor> Walk(std::string_view relative, int flags) const;
  absl::Status Failure(int error_number, std::string_view relative) const;

  FileDescriptor fd_;
  std::string path_;
  Resolver resolver_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_CONFINED_DIRECTORY_H_

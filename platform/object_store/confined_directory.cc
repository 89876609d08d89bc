#include "platform/object_store/confined_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr mode_t kDirectoryMode = 0777;  // less the umask

// glibc 2.36 has no wrapper for this call.
int OpenBeneath(int directory_fd, const char* relative, int flags, __u64 resolve) {
  open_how how = {};
  how.flags = static_cast<__u64>(flags) | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve;
  return static_cast<int>(syscall(SYS_openat2, directory_fd, relative, &how, sizeof(how)));
}

bool IsRelativePath(std::string_view relative) {
  for (std::size_t begin = 0; begin <= relative.size();) {
    const std::size_t end = std::min(relative.find('/', begin), relative.size());
    const std::string_view segment = relative.substr(begin, end - begin);
    if (segment.empty() || segment == "." || segment == ".." || segment.find('\0') != std::string_view::npos)
      return false;
    begin = end + 1;
  }
  return true;
}

struct CloseDirectory {
  void operator()(DIR* stream) const { closedir(stream); }
};

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) close(fd_);
}

absl::Status ErrnoToStatus(int error_number, std::string_view context) {
  const std::string message = absl::StrCat(std::string(context), ": ", std::generic_category().message(error_number));
  switch (error_number) {
    case ENOENT:
    case ENOTDIR: return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS: return absl::PermissionDeniedError(message);
    case ELOOP: return absl::PermissionDeniedError(absl::StrCat(message, " (symbolic links are not followed)"));
    case EXDEV: return absl::PermissionDeniedError(absl::StrCat(message, " (a symbolic link leads outside)"));
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return absl::ResourceExhaustedError(message);
    case EISDIR:
    case ENXIO:
    case ENOTEMPTY:
    case EEXIST: return absl::FailedPreconditionError(message);
    case EINVAL:
    case ENAMETOOLONG: return absl::InvalidArgumentError(message);
    default: return absl::UnavailableError(message);
  }
}

absl::StatusOr<ConfinedDirectory> ConfinedDirectory::Open(const std::string& path, Resolver resolver) {
  FileDescriptor fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoToStatus(errno, path);
  if (resolver == Resolver::kBest) {
    // Old kernels answer ENOSYS, sandboxes that do not know the call EPERM.
    const FileDescriptor probe(OpenBeneath(fd.get(), ".", O_PATH | O_DIRECTORY, 0));
    if (probe.get() < 0) resolver = Resolver::kWalk;
  }
  return ConfinedDirectory(std::move(fd), path, resolver);
}

absl::StatusOr<ConfinedDirectory> ConfinedDirectory::Create(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return ErrnoToStatus(error.value(), path);
  return Open(path);
}

absl::StatusOr<ConfinedDirectory> ConfinedDirectory::OpenDirectory(std::string_view relative, Links links) const {
  if (relative.empty()) {
    FileDescriptor fd(fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
    if (fd.get() < 0) return ErrnoToStatus(errno, path_);
    return ConfinedDirectory(std::move(fd), path_, resolver_);
  }
  GPTVQ_ASSIGN_OR_RETURN(FileDescriptor fd, OpenFile(relative, O_RDONLY | O_DIRECTORY, links));
  return ConfinedDirectory(std::move(fd), absl::StrCat(path_, "/", std::string(relative)), resolver_);
}

absl::StatusOr<ConfinedDirectory> ConfinedDirectory::MakeDirectories(std::string_view relative) const {
  absl::StatusOr<ConfinedDirectory> existing = OpenDirectory(relative);
  if (existing.ok() || !absl::IsNotFound(existing.status())) return existing;

  const std::size_t slash = relative.rfind('/');
  const std::string_view parent_path = slash == std::string_view::npos ? "" : relative.substr(0, slash);
  const std::string name(slash == std::string_view::npos ? relative : relative.substr(slash + 1));
  GPTVQ_ASSIGN_OR_RETURN(const ConfinedDirectory parent, MakeDirectories(parent_path));
  if (mkdirat(parent.fd(), name.c_str(), kDirectoryMode) != 0 && errno != EEXIST) return Failure(errno, relative);
  if (fsync(parent.fd()) != 0) return Failure(errno, relative);
  return OpenDirectory(relative);
}

absl::StatusOr<FileDescriptor> ConfinedDirectory::OpenFile(std::string_view relative, int flags, Links links) const {
  if (!IsRelativePath(relative)) return Failure(EINVAL, relative);
  const std::string path(relative);
  if (links == Links::kAnywhere) {
    FileDescriptor fd(openat(fd_.get(), path.c_str(), flags | O_CLOEXEC));
    if (fd.get() < 0) return Failure(errno, relative);
    return fd;
  }
  if (resolver_ == Resolver::kWalk) return Walk(relative, flags);
  FileDescriptor fd(OpenBeneath(fd_.get(), path.c_str(), flags, links == Links::kRefused ? RESOLVE_NO_SYMLINKS : 0));
  if (fd.get() < 0) return Failure(errno, relative);
  return fd;
}

absl::StatusOr<std::vector<DirectoryEntry>> ConfinedDirectory::List() const {
  FileDescriptor fd(openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));  // a position of its own
  if (fd.get() < 0) return ErrnoToStatus(errno, path_);
  const std::unique_ptr<DIR, CloseDirectory> stream(fdopendir(fd.get()));
  if (stream == nullptr) return ErrnoToStatus(errno, path_);
  fd.Release();  // the stream owns it now
  std::vector<DirectoryEntry> entries;
  errno = 0;
  while (const dirent* entry = readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    struct stat info;
    // An entry that has gone since is no longer part of the answer.
    if (name != "." && name != ".." && fstatat(fd_.get(), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
      entries.push_back({std::string(name), info});
    }
    errno = 0;
  }
  if (errno != 0) return ErrnoToStatus(errno, path_);
  return entries;
}

absl::StatusOr<FileDescriptor> ConfinedDirectory::Walk(std::string_view relative, int flags) const {
  FileDescriptor directory(fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
  if (directory.get() < 0) return Failure(errno, relative);
  std::string_view rest = relative;
  while (true) {
    const std::size_t slash = rest.find('/');
    const std::string segment(rest.substr(0, slash));
    // O_NOFOLLOW together with O_PATH or O_DIRECTORY does not say ELOOP, so links are looked for first, for the
    // message only.
    struct stat info;
    if (fstatat(directory.get(), segment.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(info.st_mode)) {
      return Failure(ELOOP, relative);
    }
    const bool is_last = slash == std::string_view::npos;
    const int segment_flags = is_last ? flags : O_PATH | O_DIRECTORY;
    FileDescriptor next(openat(directory.get(), segment.c_str(), segment_flags | O_NOFOLLOW | O_CLOEXEC));
    if (next.get() < 0) return Failure(errno, relative);
    if (is_last) return next;
    directory = std::move(next);
    rest.remove_prefix(slash + 1);
  }
}

absl::Status ConfinedDirectory::Failure(int error_number, std::string_view relative) const {
  return ErrnoToStatus(error_number, absl::StrCat(path_ == "/" ? "" : path_, "/", std::string(relative)));
}

}  // namespace gptvq

#include "platform/object_store/local_object_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr mode_t kFileMode = 0666;     // less the umask
constexpr int kMaxTemporaryTries = 8;  // names are 64 random bits: a second try is already a rarity
constexpr std::string_view kSavedPrefix = ".gptvq-tmp-saved-";  // of what Resume may go on with
static_assert(kSavedPrefix.starts_with(kTemporaryPrefix));

struct SplitKey {
  std::string_view directory;  // "" for the root
  std::string_view name;
};

SplitKey Split(std::string_view key) {
  const std::size_t slash = key.rfind('/');
  if (slash == std::string_view::npos) return {"", key};
  return {key.substr(0, slash), key.substr(slash + 1)};
}

std::string Join(std::string_view directory, std::string_view name) {
  return directory.empty() ? std::string(name) : absl::StrCat(std::string(directory), "/", std::string(name));
}

constexpr int kReadAttempts = 3;  // disks, and networks behind file systems, fail once and then do not

class LocalFile final : public RandomAccessFile {
 public:
  LocalFile(FileDescriptor fd, std::string name, std::uint64_t size)
      : fd_(std::move(fd)), name_(std::move(name)), size_(size) {}

  std::string_view name() const override { return name_; }
  std::uint64_t size() const override { return size_; }

  absl::Status ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const override {
    if (offset > size_ || bytes_out.size() > size_ - offset) {
      return absl::OutOfRangeError(absl::StrCat(name_, ": read of ", bytes_out.size(), " bytes at offset ", offset,
                                                " passes the end at ", size_));
    }
    int failures = 0;
    while (!bytes_out.empty()) {
      const ssize_t count = pread(fd_.get(), bytes_out.data(), bytes_out.size(), static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EIO && ++failures < kReadAttempts) continue;
      // The disk does not have the bytes: trouble of this machine, not a storage that is away.
      if (count < 0 && errno == EIO) return absl::DataLossError(absl::StrCat(name_, ": the disk cannot read it"));
      if (count < 0) return ErrnoToStatus(errno, name_);
      if (count == 0) {
        return absl::DataLossError(
            absl::StrCat(name_, ": ends at offset ", offset, ", but had ", size_, " bytes when it was opened"));
      }
      offset += static_cast<std::uint64_t>(count);
      bytes_out.remove_prefix(static_cast<std::size_t>(count));
    }
    return absl::OkStatus();
  }

 private:
  const FileDescriptor fd_;
  const std::string name_;
  const std::uint64_t size_;
};

std::string NewTemporaryName(std::string_view prefix) {
  std::uint64_t random = 0;
  while (getrandom(&random, sizeof(random), 0) != sizeof(random)) continue;
  return absl::StrCat(std::string(prefix), absl::Hex(random, absl::kZeroPad16));
}

// True if this process now holds the lock and the file still has a name: RemoveAbandonedWrites may have been faster.
bool LockTemporary(const FileDescriptor& fd) {
  struct stat info;
  return flock(fd.get(), LOCK_EX | LOCK_NB) == 0 && fstat(fd.get(), &info) == 0 && info.st_nlink > 0;
}

std::string_view KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

absl::Status CheckRegular(const struct stat& info, const std::string& name) {
  if (S_ISREG(info.st_mode)) return absl::OkStatus();
  if (S_ISLNK(info.st_mode)) {
    return absl::PermissionDeniedError(absl::StrCat(name,
                                                    ": is a symbolic link, which is not followed; name the file "
                                                    "it points to"));
  }
  return absl::FailedPreconditionError(absl::StrCat(name, ": is ", std::string(KindOf(info.st_mode)), ", not a file"));
}

// A rename would put the new file in the place of a pipe or a device without a word; a link is replaced, not followed.
absl::Status CheckReplaceable(const ConfinedDirectory& directory, const std::string& name) {
  struct stat info;
  if (fstatat(directory.fd(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || S_ISLNK(info.st_mode)) {
    return absl::OkStatus();
  }
  return CheckRegular(info, absl::StrCat(directory.path(), "/", name));
}

// Where a saved write is and how much of it counts: "NAME BYTES".
struct Ticket {
  std::string temporary_name;
  std::uint64_t saved_bytes = 0;
};

std::string TicketText(const Ticket& ticket) { return absl::StrCat(ticket.temporary_name, " ", ticket.saved_bytes); }

absl::StatusOr<Ticket> ParseTicket(std::string_view text) {
  Ticket ticket;
  const std::vector<std::string> words = absl::StrSplit(absl::string_view(text.data(), text.size()), ' ');
  if (words.size() != 2 || !words[0].starts_with(kSavedPrefix) || !IsPlainFileName(words[0]) ||
      !absl::SimpleAtoi(words[1], &ticket.saved_bytes) || ticket.saved_bytes == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", absl::CHexEscape(words[0]), "' begins no ticket of a saved file"));
  }
  ticket.temporary_name = words[0];
  return ticket;
}

// By the clock of the file system, which may be another machine's.
absl::StatusOr<std::chrono::seconds> NowIn(const ConfinedDirectory& directory) {
  const std::string name = NewTemporaryName(kTemporaryPrefix);
  const FileDescriptor fd(
      openat(directory.fd(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode));
  struct stat info;
  const bool is_known = fd.get() >= 0 && fstat(fd.get(), &info) == 0;
  const int error_number = errno;
  if (fd.get() >= 0) unlinkat(directory.fd(), name.c_str(), 0);
  if (!is_known) return ErrnoToStatus(error_number, directory.path());
  return std::chrono::seconds(info.st_mtim.tv_sec);
}

// Calls visit(directory key, directory, entry) for everything below `directory` that has a key, and for temporaries.
using Visitor = std::function<absl::Status(std::string_view, const ConfinedDirectory&, const DirectoryEntry&)>;

absl::Status VisitTree(const ConfinedDirectory& directory, std::string_view key, ListScope scope, int depth,
                       const Visitor& visit) {
  GPTVQ_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, directory.List());
  for (const DirectoryEntry& entry : entries) {
    GPTVQ_RETURN_IF_ERROR(visit(key, directory, entry));
    if (!S_ISDIR(entry.info.st_mode) || scope == ListScope::kDirect || depth >= kMaxKeySegments) continue;
    if (!IsPlainFileName(entry.name)) continue;
    const absl::StatusOr<ConfinedDirectory> child = directory.OpenDirectory(entry.name);
    if (absl::IsNotFound(child.status())) continue;
    GPTVQ_RETURN_IF_ERROR(child.status());
    GPTVQ_RETURN_IF_ERROR(VisitTree(*child, Join(key, entry.name), scope, depth + 1, visit));
  }
  return absl::OkStatus();
}

}  // namespace

class LocalObjectStore::NewFile final : public ResumableFile {
 public:
  // Behind what `temporary` says is saved, of a file that `fd` is at the end of.
  NewFile(ConfinedDirectory directory, std::string name, FileDescriptor fd, Ticket temporary, Existing existing)
      : directory_(std::move(directory)),
        name_(std::move(name)),
        temporary_name_(std::move(temporary.temporary_name)),
        fd_(std::move(fd)),
        existing_(existing),
        size_bytes_(temporary.saved_bytes),
        is_saved_(size_bytes_ > 0) {}

  ~NewFile() override {
    if (!is_renamed_ && !is_saved_) unlinkat(directory_.fd(), temporary_name_.c_str(), 0);
  }

  absl::Status Append(absl::Span<const std::byte> bytes) override {
    GPTVQ_RETURN_IF_ERROR(status_);
    while (!bytes.empty()) {
      const ssize_t count = write(fd_.get(), bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return Fail();
      size_bytes_ += static_cast<std::uint64_t>(count);
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Save() override {
    GPTVQ_CHECK(size_bytes_ > 0 && size_bytes_ % kSavedPartBytes == 0);
    GPTVQ_RETURN_IF_ERROR(status_);
    if (fsync(fd_.get()) != 0 || (!is_saved_ && fsync(directory_.fd()) != 0)) return Fail();
    is_saved_ = true;
    return TicketText({temporary_name_, size_bytes_});
  }

  void Discard() override {
    if (!is_renamed_) unlinkat(directory_.fd(), temporary_name_.c_str(), 0);
    is_saved_ = false;
  }

  // Errors: also AlreadyExists where something has the name and is kept.
  absl::Status Close() override {
    GPTVQ_RETURN_IF_ERROR(status_);
    if (fsync(fd_.get()) != 0) return Fail();
    if (Rename() != 0) {
      if (errno == EEXIST) return absl::AlreadyExistsError(absl::StrCat(directory_.path(), "/", name_));
      return Fail();
    }
    if (fsync(directory_.fd()) != 0) return Fail();
    return absl::OkStatus();
  }

 private:
  // 0, or -1 and errno.
  int Rename() {
    const int directory = directory_.fd();
    const unsigned flags = existing_ == Existing::kKeep ? RENAME_NOREPLACE : 0;
    is_renamed_ = renameat2(directory, temporary_name_.c_str(), directory, name_.c_str(), flags) == 0;
    if (is_renamed_ || existing_ == Existing::kReplace || (errno != EINVAL && errno != ENOSYS)) {
      return is_renamed_ ? 0 : -1;
    }
    // The file system can not. Our other name goes with this object, or with RemoveAbandonedWrites.
    return linkat(directory, temporary_name_.c_str(), directory, name_.c_str(), 0);
  }

  // A file that failed once never becomes visible: nobody knows which of its bytes arrived.
  absl::Status Fail() {
    status_ = ErrnoToStatus(errno, absl::StrCat(directory_.path(), "/", name_));
    return status_;
  }

  const ConfinedDirectory directory_;
  const std::string name_;
  const std::string temporary_name_;
  const FileDescriptor fd_;
  const Existing existing_;
  std::uint64_t size_bytes_;
  bool is_saved_;  // it has to outlive this writer
  bool is_renamed_ = false;
  absl::Status status_;
};

LocalObjectStore::LocalObjectStore(ConfinedDirectory root, LocalObjectStoreOptions options)
    : root_(std::move(root)), name_(absl::StrCat("file://", root_.path())), options_(options) {}

absl::StatusOr<std::unique_ptr<WritableFile>> LocalObjectStore::Create(std::string_view key) {
  return Begin(key, kTemporaryPrefix, Existing::kReplace);
}

absl::StatusOr<std::unique_ptr<ResumableFile>> LocalObjectStore::CreateResumable(std::string_view key) {
  return Begin(key, kSavedPrefix, Existing::kReplace);
}

absl::StatusOr<std::unique_ptr<ResumableFile>> LocalObjectStore::Resume(std::string_view key, std::string_view ticket) {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  GPTVQ_ASSIGN_OR_RETURN(Ticket saved, ParseTicket(ticket));
  const SplitKey split = Split(key);
  GPTVQ_ASSIGN_OR_RETURN(ConfinedDirectory directory, root_.OpenDirectory(split.directory));
  GPTVQ_RETURN_IF_ERROR(CheckReplaceable(directory, std::string(split.name)));
  GPTVQ_ASSIGN_OR_RETURN(FileDescriptor fd, directory.OpenFile(saved.temporary_name, O_WRONLY));
  const std::string path = absl::StrCat(directory.path(), "/", saved.temporary_name);
  if (!LockTemporary(fd)) return absl::NotFoundError(absl::StrCat(path, ": somebody else writes it, or removed it"));
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoToStatus(errno, path);
  GPTVQ_RETURN_IF_ERROR(CheckRegular(info, path));
  if (static_cast<std::uint64_t>(info.st_size) < saved.saved_bytes) {
    return absl::NotFoundError(absl::StrCat(path, ": has ", info.st_size, " bytes, not ", saved.saved_bytes));
  }
  const off_t end = static_cast<off_t>(saved.saved_bytes);
  if (ftruncate(fd.get(), end) != 0 || lseek(fd.get(), end, SEEK_SET) != end) return ErrnoToStatus(errno, path);
  return std::make_unique<NewFile>(std::move(directory), std::string(split.name), std::move(fd), std::move(saved),
                                   Existing::kReplace);
}

absl::Status LocalObjectStore::PutNew(std::string_view key, absl::Span<const std::byte> bytes) {
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<NewFile> file, Begin(key, kTemporaryPrefix, Existing::kKeep));
  if (bytes.size() > kMaxNewObjectBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(name_, "/", std::string(key), ": longer than ", kMaxNewObjectBytes, " bytes"));
  }
  GPTVQ_RETURN_IF_ERROR(file->Append(bytes));
  const absl::Status closed = file->Close();
  return absl::IsAlreadyExists(closed) ? CheckSameObject(*this, key, bytes) : closed;
}

absl::StatusOr<std::unique_ptr<LocalObjectStore::NewFile>> LocalObjectStore::Begin(std::string_view key,
                                                                                   std::string_view prefix,
                                                                                   Existing existing) {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  const SplitKey split = Split(key);
  GPTVQ_ASSIGN_OR_RETURN(ConfinedDirectory directory, root_.MakeDirectories(split.directory));
  GPTVQ_RETURN_IF_ERROR(CheckReplaceable(directory, std::string(split.name)));
  for (int i = 0; i < kMaxTemporaryTries; ++i) {
    std::string temporary_name = NewTemporaryName(prefix);
    FileDescriptor fd(openat(directory.fd(), temporary_name.c_str(),
                             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode));
    if (fd.get() < 0 && errno != EEXIST) return ErrnoToStatus(errno, absl::StrCat(name_, "/", std::string(key)));
    if (fd.get() < 0) continue;
    if (!LockTemporary(fd)) {
      unlinkat(directory.fd(), temporary_name.c_str(), 0);
      continue;
    }
    return std::make_unique<NewFile>(std::move(directory), std::string(split.name), std::move(fd),
                                     Ticket{std::move(temporary_name)}, existing);
  }
  return absl::UnavailableError(absl::StrCat(name_, ": cannot make a temporary file that stays locked"));
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> LocalObjectStore::Open(std::string_view key) const {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  return OpenLocalFile(root_, key, std::string(key));
}

absl::StatusOr<ObjectInfo> LocalObjectStore::Stat(std::string_view key) const {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  const SplitKey split = Split(key);
  GPTVQ_ASSIGN_OR_RETURN(const ConfinedDirectory directory, root_.OpenDirectory(split.directory));
  const std::string path = absl::StrCat(root_.path(), "/", std::string(key));
  struct stat info;
  if (fstatat(directory.fd(), std::string(split.name).c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoToStatus(errno, path);
  }
  GPTVQ_RETURN_IF_ERROR(CheckRegular(info, path));
  return ObjectInfo{.key = std::string(key), .size_bytes = static_cast<std::uint64_t>(info.st_size)};
}

absl::StatusOr<std::vector<ObjectInfo>> LocalObjectStore::List(std::string_view directory, ListScope scope) const {
  if (!directory.empty()) GPTVQ_RETURN_IF_ERROR(CheckObjectKey(directory));
  const absl::StatusOr<ConfinedDirectory> opened = root_.OpenDirectory(directory);
  std::vector<ObjectInfo> objects;
  if (absl::IsNotFound(opened.status())) return objects;
  GPTVQ_RETURN_IF_ERROR(opened.status());
  const auto visit = [&](std::string_view key, const ConfinedDirectory&, const DirectoryEntry& entry) {
    std::string object_key = Join(key, entry.name);
    if (!S_ISREG(entry.info.st_mode) || !IsObjectKey(object_key)) return absl::OkStatus();
    if (objects.size() == kMaxListedObjects) {
      return absl::ResourceExhaustedError(absl::StrCat(name_, ": more than ", kMaxListedObjects, " objects"));
    }
    objects.push_back({std::move(object_key), static_cast<std::uint64_t>(entry.info.st_size)});
    return absl::OkStatus();
  };
  GPTVQ_RETURN_IF_ERROR(VisitTree(*opened, directory, scope, 1, visit));
  std::sort(objects.begin(), objects.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  return objects;
}

absl::Status LocalObjectStore::Delete(std::string_view key) {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  const SplitKey split = Split(key);
  const absl::StatusOr<ConfinedDirectory> directory = root_.OpenDirectory(split.directory);
  if (absl::IsNotFound(directory.status())) return absl::OkStatus();
  GPTVQ_RETURN_IF_ERROR(directory.status());
  if (unlinkat(directory->fd(), std::string(split.name).c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
  return ErrnoToStatus(errno, absl::StrCat(name_, "/", std::string(key)));
}

absl::Status LocalObjectStore::RemoveAbandonedWrites(ListScope scope) {
  const auto visit = [this](std::string_view, const ConfinedDirectory& directory, const DirectoryEntry& entry) {
    if (!S_ISREG(entry.info.st_mode) || !entry.name.starts_with(kTemporaryPrefix)) return absl::OkStatus();
    if (entry.name.starts_with(kSavedPrefix) && entry.info.st_size >= static_cast<off_t>(kSavedPartBytes)) {
      GPTVQ_ASSIGN_OR_RETURN(const std::chrono::seconds now, NowIn(directory));
      if (now - std::chrono::seconds(entry.info.st_mtim.tv_sec) < options_.abandoned_after) return absl::OkStatus();
    }
    const absl::StatusOr<FileDescriptor> fd = directory.OpenFile(entry.name, O_WRONLY);
    if (!fd.ok() || flock(fd->get(), LOCK_EX | LOCK_NB) != 0) return absl::OkStatus();
    struct stat info;  // somebody may have gone on with it since it was listed
    if (fstat(fd->get(), &info) == 0 && info.st_mtim.tv_sec == entry.info.st_mtim.tv_sec) {
      unlinkat(directory.fd(), entry.name.c_str(), 0);
    }
    return absl::OkStatus();
  };
  return VisitTree(root_, "", scope, 1, visit);
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenLocalFile(const ConfinedDirectory& directory,
                                                                std::string_view relative_path, std::string name,
                                                                ConfinedDirectory::Links links) {
  const std::string path = absl::StrCat(directory.path(), "/", std::string(relative_path));
  // O_PATH opens nothing but the name: a device is not touched, a pipe is not waited for.
  GPTVQ_ASSIGN_OR_RETURN(const FileDescriptor place, directory.OpenFile(relative_path, O_PATH, links));
  struct stat info;
  if (fstat(place.get(), &info) != 0) return ErrnoToStatus(errno, path);
  GPTVQ_RETURN_IF_ERROR(CheckRegular(info, path));
  GPTVQ_ASSIGN_OR_RETURN(FileDescriptor fd, directory.OpenFile(relative_path, O_RDONLY | O_NONBLOCK | O_NOCTTY, links));
  if (fstat(fd.get(), &info) != 0) return ErrnoToStatus(errno, path);
  GPTVQ_RETURN_IF_ERROR(CheckRegular(info, path));  // it may have been replaced in between
  return std::make_unique<LocalFile>(std::move(fd), std::move(name), static_cast<std::uint64_t>(info.st_size));
}

}  // namespace gptvq

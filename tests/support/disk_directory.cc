#include "tests/support/disk_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"

namespace gptvq {
namespace {

class DiskFile final : public RandomAccessFile {
 public:
  DiskFile(std::string name, int descriptor, std::uint64_t size)
      : name_(std::move(name)), descriptor_(descriptor), size_(size) {}
  ~DiskFile() override { close(descriptor_); }

  std::string_view name() const override { return name_; }
  std::uint64_t size() const override { return size_; }

  absl::Status ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const override {
    if (offset > size_ || bytes_out.size() > size_ - offset) {
      return absl::OutOfRangeError(absl::StrCat(name_, ": ", bytes_out.size(), " bytes from ", offset, " on"));
    }
    while (!bytes_out.empty()) {
      const ssize_t count = pread(descriptor_, bytes_out.data(), bytes_out.size(), static_cast<off_t>(offset));
      if (count <= 0) return absl::DataLossError(absl::StrCat(name_, ": not readable at ", offset));
      bytes_out.remove_prefix(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    }
    return absl::OkStatus();
  }

 private:
  const std::string name_;
  const int descriptor_;
  const std::uint64_t size_;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> DiskDirectory::List() const {
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path_, error)) {
    if (entry.is_regular_file(error)) names.push_back(entry.path().filename().string());
  }
  if (error) return absl::NotFoundError(absl::StrCat(path_, ": ", error.message()));
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> DiskDirectory::Open(std::string_view file_name) const {
  if (!IsPlainFileName(file_name)) return absl::InvalidArgumentError("not a plain file name");
  const std::string path = absl::StrCat(path_, "/", std::string(file_name));
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info = {};
  if (descriptor < 0 || fstat(descriptor, &info) != 0) return absl::NotFoundError(absl::StrCat(path, ": not there"));
  return std::make_unique<DiskFile>(std::string(file_name), descriptor, static_cast<std::uint64_t>(info.st_size));
}

}  // namespace gptvq

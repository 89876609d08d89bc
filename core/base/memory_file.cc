#include "core/base/memory_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr std::size_t kMaxFileNameBytes = 255;

absl::Status InvalidName(std::string_view file_name) {
  return absl::InvalidArgumentError(
      absl::StrCat("not a plain file name: '", std::string(file_name.substr(0, kMaxFileNameBytes)), "'"));
}

class MemoryWritableFile final : public WritableFile {
 public:
  MemoryWritableFile(MemoryDirectory& directory, std::string name) : directory_(directory), name_(std::move(name)) {}

  absl::Status Append(absl::Span<const std::byte> bytes) override {
    contents_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return absl::OkStatus();
  }

  absl::Status Close() override {
    directory_.Put(name_, std::move(contents_));
    return absl::OkStatus();
  }

 private:
  MemoryDirectory& directory_;
  const std::string name_;
  std::string contents_;
};

}  // namespace

bool IsPlainFileName(std::string_view file_name) {
  if (file_name.empty() || file_name.size() > kMaxFileNameBytes) return false;
  if (file_name == "." || file_name == "..") return false;
  return std::all_of(file_name.begin(), file_name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
  });
}

absl::StatusOr<std::string> ReadWholeFile(const RandomAccessFile& file, std::uint64_t limit_bytes) {
  if (file.size() > limit_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(file.name()), ": ", file.size(), " bytes, more than the limit of ", limit_bytes));
  }
  std::string contents(file.size(), '\0');
  GPTVQ_RETURN_IF_ERROR(file.ReadAt(0, {reinterpret_cast<std::byte*>(contents.data()), contents.size()}));
  return contents;
}

absl::Status MemoryFile::ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const {
  if (offset > contents_.size() || bytes_out.size() > contents_.size() - offset) {
    return absl::OutOfRangeError(absl::StrCat(name_, ": read of ", bytes_out.size(), " bytes at offset ", offset,
                                              " passes the end at ", contents_.size()));
  }
  if (!bytes_out.empty()) std::memcpy(bytes_out.data(), contents_.data() + offset, bytes_out.size());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> MemoryDirectory::List() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  names.reserve(files_.size());
  for (const auto& [file_name, contents] : files_) names.push_back(file_name);
  return names;
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> MemoryDirectory::Open(std::string_view file_name) const {
  if (!IsPlainFileName(file_name)) return InvalidName(file_name);
  std::lock_guard lock(mutex_);
  const auto it = files_.find(file_name);
  if (it == files_.end()) {
    return absl::NotFoundError(absl::StrCat(name_, ": no file '", std::string(file_name), "'"));
  }
  return std::make_unique<MemoryFile>(it->first, it->second);
}

absl::StatusOr<std::unique_ptr<WritableFile>> MemoryDirectory::Create(std::string_view file_name) {
  if (!IsPlainFileName(file_name)) return InvalidName(file_name);
  return std::make_unique<MemoryWritableFile>(*this, std::string(file_name));
}

absl::Status MemoryDirectory::PutNew(std::string_view file_name, absl::Span<const std::byte> bytes) {
  if (!IsPlainFileName(file_name)) return InvalidName(file_name);
  const std::string contents(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::lock_guard lock(mutex_);
  const auto [it, is_new] = files_.try_emplace(std::string(file_name), contents);
  if (is_new || it->second == contents) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat(name_, ": another file '", std::string(file_name), "' is there already"));
}

void MemoryDirectory::Put(std::string file_name, std::string contents) {
  std::lock_guard lock(mutex_);
  files_[std::move(file_name)] = std::move(contents);
}

std::string MemoryDirectory::Take(std::string_view file_name) {
  std::lock_guard lock(mutex_);
  const auto it = files_.find(file_name);
  if (it == files_.end()) return "";
  std::string contents = std::move(it->second);
  files_.erase(it);
  return contents;
}

}  // namespace gptvq

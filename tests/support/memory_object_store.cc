#include "tests/support/memory_object_store.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/check.h"
#include "core/base/memory_file.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

absl::Status Missing(std::string_view key) { return absl::NotFoundError(absl::StrCat("memory/", std::string(key))); }

}  // namespace

class MemoryObjectStore::NewObject final : public ResumableFile {
 public:
  NewObject(MemoryObjectStore& store, std::string_view key, std::string name, std::string contents)
      : store_(store), key_(key), name_(std::move(name)), contents_(std::move(contents)) {}

  absl::Status Append(absl::Span<const std::byte> bytes) override {
    contents_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return absl::OkStatus();
  }

  absl::Status Close() override {
    Discard();
    store_.Put(key_, std::move(contents_));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Save() override {
    GPTVQ_CHECK(!contents_.empty() && contents_.size() % kSavedPartBytes == 0);
    std::lock_guard lock(store_.mutex_);
    store_.saved_[name_] = contents_;
    return absl::StrCat(name_, " ", contents_.size());
  }

  void Discard() override {
    std::lock_guard lock(store_.mutex_);
    store_.saved_.erase(name_);
  }

 private:
  MemoryObjectStore& store_;
  const std::string key_;
  const std::string name_;
  std::string contents_;
};

absl::StatusOr<std::unique_ptr<WritableFile>> MemoryObjectStore::Create(std::string_view key) {
  return CreateResumable(key);
}

absl::StatusOr<std::unique_ptr<ResumableFile>> MemoryObjectStore::CreateResumable(std::string_view key) {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  std::lock_guard lock(mutex_);
  return std::make_unique<NewObject>(*this, key, absl::StrCat("write-", next_name_++), "");
}

absl::StatusOr<std::unique_ptr<ResumableFile>> MemoryObjectStore::Resume(std::string_view key,
                                                                         std::string_view ticket) {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  const std::vector<std::string> words = absl::StrSplit(absl::string_view(ticket.data(), ticket.size()), ' ');
  std::size_t size = 0;
  if (words.size() != 2 || words[0].empty() || !absl::SimpleAtoi(words[1], &size))
    return absl::InvalidArgumentError("no ticket");
  std::lock_guard lock(mutex_);
  const auto saved = saved_.find(words[0]);
  if (saved == saved_.end() || saved->second.size() < size) return Missing(key);
  return std::make_unique<NewObject>(*this, key, words[0], saved->second.substr(0, size));
}

absl::Status MemoryObjectStore::PutNew(std::string_view key, absl::Span<const std::byte> bytes) {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  const std::string contents(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::lock_guard lock(mutex_);
  const auto [it, is_new] = objects_.try_emplace(std::string(key), contents);
  if (is_new || it->second == contents) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat("memory/", std::string(key), ": another object is there already"));
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> MemoryObjectStore::Open(std::string_view key) const {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  std::lock_guard lock(mutex_);
  const auto it = objects_.find(key);
  if (it == objects_.end()) return Missing(key);
  return std::make_unique<MemoryFile>(it->first, it->second);
}

absl::StatusOr<ObjectInfo> MemoryObjectStore::Stat(std::string_view key) const {
  GPTVQ_ASSIGN_OR_RETURN(const std::unique_ptr<RandomAccessFile> file, Open(key));
  return ObjectInfo{std::string(key), file->size()};
}

absl::StatusOr<std::vector<ObjectInfo>> MemoryObjectStore::List(std::string_view directory, ListScope scope) const {
  if (!directory.empty()) GPTVQ_RETURN_IF_ERROR(CheckObjectKey(directory));
  const std::string prefix = directory.empty() ? "" : absl::StrCat(std::string(directory), "/");
  std::lock_guard lock(mutex_);
  std::vector<ObjectInfo> found;
  for (const auto& [key, contents] : objects_) {
    if (!key.starts_with(prefix)) continue;
    const bool is_direct = key.find('/', prefix.size()) == std::string::npos;
    if (is_direct || scope == ListScope::kRecursive) found.push_back({key, contents.size()});
  }
  return found;
}

absl::Status MemoryObjectStore::Delete(std::string_view key) {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  std::lock_guard lock(mutex_);
  objects_.erase(std::string(key));
  return absl::OkStatus();
}

std::size_t MemoryObjectStore::saved_count() const {
  std::lock_guard lock(mutex_);
  return saved_.size();
}

void MemoryObjectStore::Put(std::string_view key, std::string contents) {
  std::lock_guard lock(mutex_);
  objects_[std::string(key)] = std::move(contents);
}

}  // namespace gptvq

#ifndef GPTVQ_CORE_BASE_MEMORY_FILE_H_
#define GPTVQ_CORE_BASE_MEMORY_FILE_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"

namespace gptvq {

// A file held in memory. Immutable; owns its bytes.
class MemoryFile final : public RandomAccessFile {
 public:
  MemoryFile(std::string name, std::string contents) : name_(std::move(name)), contents_(std::move(contents)) {}

  std::string_view name() const override { return name_; }
  std::uint64_t size() const override { return contents_.size(); }
  absl::Status ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const override;

 private:
  const std::string name_;
  const std::string contents_;
};

// A directory held in memory, for artifacts that are small and for tests. Thread-safe. Must outlive the files being
// written into it.
class MemoryDirectory final : public ReadableDirectory, public WritableDirectory {
 public:
  explicit MemoryDirectory(std::string name = "memory") : name_(std::move(name)) {}

  std::string_view name() const override { return name_; }
  absl::StatusOr<std::vector<std::string>> List() const override;
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view file_name) const override;
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(std::string_view file_name) override;
  absl::Status PutNew(std::string_view file_name, absl::Span<const std::byte> bytes) override;

  // Puts or replaces a file.
  void Put(std::string file_name, std::string contents);
  // Removes a file and returns its contents; empty when there is none.
  std::string Take(std::string_view file_name);

 private:
  const std::string name_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> files_;  // guarded by mutex_
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BASE_MEMORY_FILE_H_

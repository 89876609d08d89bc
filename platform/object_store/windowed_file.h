#ifndef GPTVQ_PLATFORM_OBJECT_STORE_WINDOWED_FILE_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_WINDOWED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "core/base/file.h"

namespace gptvq {

// A read up to half of this is served from a window of this many bytes, which begins at a multiple of half of it.
inline constexpr std::size_t kReadWindowBytes = 256 << 10;

// A file whose short reads fetch what lies around them, too. For storages where a request takes tens of milliseconds, whatever its
// length: the header and the small tensors of a packed layer lie beside each other, and its readers ask for them one by one.
//
// Owns the file and at most one window of it, the latest. Longer reads go straight to the file. Thread-safe: reads of several
// threads do not wait for each other, and may fetch the same window twice.
// Errors: those of the file; a window that can not be read is an error of the read that asked for it.
class WindowedFile final : public RandomAccessFile {
 public:
  explicit WindowedFile(std::unique_ptr<RandomAccessFile> file) : file_(std::move(file)) {}

  std::string_view name() const override { return file_->name(); }
  std::uint64_t size() const override { return file_->size(); }
  absl::Status ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const override;

 private:
  struct Window {
    std::uint64_t begin;
    std::vector<std::byte> bytes;

    bool Holds(std::uint64_t offset, std::size_t length) const {
      return begin <= offset && offset + length <= begin + bytes.size();
    }
  };

  absl::StatusOr<std::shared_ptr<const Window>> WindowAround(std::uint64_t offset, std::size_t length) const;

  const std::unique_ptr<RandomAccessFile> file_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Window> latest_;  // guarded by mutex_; shared with the reads that copy from it
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_WINDOWED_FILE_H_

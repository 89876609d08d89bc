#ifndef GPTVQ_WORKER_OBSERVED_DIRECTORY_H_
#define GPTVQ_WORKER_OBSERVED_DIRECTORY_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/file.h"

namespace gptvq {

// Told the number of bytes of every read or append, before it is made; an error takes its place. Called on whichever
// thread reads.
using ByteObserver = std::function<absl::Status(std::size_t bytes)>;

std::unique_ptr<RandomAccessFile> ObserveReads(std::unique_ptr<RandomAccessFile> file, ByteObserver observe);

// A directory whose reads are counted. Owns it. Thread-safe if the observer is.
class ObservedReadableDirectory final : public ReadableDirectory {
 public:
  ObservedReadableDirectory(std::unique_ptr<ReadableDirectory> directory, ByteObserver observe)
      : directory_(std::move(directory)), observe_(std::move(observe)) {}

  std::string_view name() const override { return directory_->name(); }
  absl::StatusOr<std::vector<std::string>> List() const override { return directory_->List(); }
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view file_name) const override;

 private:
  const std::unique_ptr<ReadableDirectory> directory_;
  const ByteObserver observe_;
};

// A directory whose writes are seen, and can be ended, while they go on. Owns it.
class ObservedWritableDirectory final : public WritableDirectory {
 public:
  ObservedWritableDirectory(std::unique_ptr<WritableDirectory> directory, ByteObserver observe)
      : directory_(std::move(directory)), observe_(std::move(observe)) {}

  std::string_view name() const override { return directory_->name(); }
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(std::string_view file_name) override;
  absl::Status PutNew(std::string_view file_name, absl::Span<const std::byte> bytes) override;

 private:
  const std::unique_ptr<WritableDirectory> directory_;
  const ByteObserver observe_;
};

}  // namespace gptvq

#endif  // GPTVQ_WORKER_OBSERVED_DIRECTORY_H_

#ifndef GPTVQ_CORE_BASE_FILE_H_
#define GPTVQ_CORE_BASE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace gptvq {

// What core/ knows of storage: bytes behind names. The implementations are memory (core/base/memory_file.h) and the
// object stores of platform/; core/ itself never opens a path or a socket.

// Immutable bytes of known size that can be read at any place. Thread-safe.
class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;

  // A name for messages, e.g. "model-00001-of-00002.safetensors".
  virtual std::string_view name() const = 0;
  virtual std::uint64_t size() const = 0;

  // Fills `bytes_out` from `offset` on, completely.
  // Errors: OutOfRange when offset + bytes_out.size() > size(); DataLoss when the storage holds fewer bytes than size(), or
  // a disk cannot read them; Unavailable when the storage did not answer.
  virtual absl::Status ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const = 0;
};

// A new file being written front to back. Nothing is visible under its name until Close() has returned OK; destruction
// without Close() leaves nothing behind. Thread-compatible.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual absl::Status Append(absl::Span<const std::byte> bytes) = 0;
  // Makes the bytes durable and visible, replacing a file of that name.
  virtual absl::Status Close() = 0;
};

// A flat set of named files: a Hugging Face model directory, a result. Names are single path segments. Thread-safe.
class ReadableDirectory {
 public:
  virtual ~ReadableDirectory() = default;
  // A name for messages, e.g. the URI.
  virtual std::string_view name() const = 0;
  // Regular files, sorted by name.
  virtual absl::StatusOr<std::vector<std::string>> List() const = 0;
  // Errors: NotFound; InvalidArgument for a name that is not a plain segment; PermissionDenied; Unavailable.
  virtual absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view file_name) const = 0;
};

class WritableDirectory {
 public:
  virtual ~WritableDirectory() = default;
  virtual std::string_view name() const = 0;
  // Errors: InvalidArgument for a name that is not a plain segment; ResourceExhausted when out of space; Unavailable.
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> Create(std::string_view file_name) = 0;
  // Puts a small file that must not replace another: OK when these bytes are durable under this name, also when they were there
  // before. Of several that put different bytes at once, one succeeds.
  // Errors: those of Create; AlreadyExists when a file of other bytes has the name.
  virtual absl::Status PutNew(std::string_view file_name, absl::Span<const std::byte> bytes) = 0;
};

// True for a name that may be joined to a directory: [A-Za-z0-9_.-]{1,255}, not "." and not "..".
bool IsPlainFileName(std::string_view file_name);

// The whole file as a string. Errors: InvalidArgument when it is longer than `limit_bytes`; those of ReadAt.
absl::StatusOr<std::string> ReadWholeFile(const RandomAccessFile& file, std::uint64_t limit_bytes);

inline absl::Span<const std::byte> AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace gptvq

#endif  // GPTVQ_CORE_BASE_FILE_H_

#ifndef GPTVQ_CORE_FORMAT_SAFETENSORS_READER_H_
#define GPTVQ_CORE_FORMAT_SAFETENSORS_READER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/file.h"
#include "core/format/tensor_info.h"

namespace gptvq {

// Limits of docs/format.md section 2.
inline constexpr std::uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;
inline constexpr std::size_t kMaxTensorsPerFile = 1'000'000;
inline constexpr std::size_t kMaxTensorNameBytes = 512;
inline constexpr std::size_t kMaxMetadataBytes = 1 << 20;
inline constexpr int kMaxTensorRank = 8;

// A tensor and its place in the file.
struct StoredTensor {
  TensorInfo info;
  std::uint64_t file_offset = 0;  // of its first byte, from the start of the file
};

// A safetensors file that somebody else wrote: the header is checked completely when it is opened (every rule of
// docs/format.md section 2), the data is read by range and never mapped. Memory: O(header). Thread-safe.
class SafetensorsReader {
 public:
  // Errors: InvalidArgument naming file, tensor and offset for a header that breaks a rule or passes a limit;
  // those of RandomAccessFile::ReadAt.
  // The first form owns the file, the second borrows it.
  static absl::StatusOr<SafetensorsReader> Open(std::unique_ptr<RandomAccessFile> file);
  static absl::StatusOr<SafetensorsReader> Open(const RandomAccessFile& file);

  std::string_view file_name() const { return file_->name(); }
  std::uint64_t file_bytes() const { return file_->size(); }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::vector<StoredTensor>& tensors() const { return tensors_; }  // in byte order of their names

  // Null when there is no such tensor. Valid as long as the reader.
  const StoredTensor* Find(std::string_view name) const;

  // Fills `bytes_out` with the tensor's bytes from `offset` (inside the tensor) on.
  // Errors: OutOfRange when the range leaves the tensor; those of ReadAt, naming the tensor.
  absl::Status Read(const StoredTensor& tensor, std::uint64_t offset, absl::Span<std::byte> bytes_out) const;

 private:
  explicit SafetensorsReader(const RandomAccessFile& file) : file_(&file) {}

  std::unique_ptr<RandomAccessFile> owned_;  // null when the file is borrowed
  const RandomAccessFile* file_;
  std::map<std::string, std::string> metadata_;
  std::vector<StoredTensor> tensors_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_SAFETENSORS_READER_H_

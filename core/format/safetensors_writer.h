#ifndef GPTVQ_CORE_FORMAT_SAFETENSORS_WRITER_H_
#define GPTVQ_CORE_FORMAT_SAFETENSORS_WRITER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/file.h"
#include "core/format/tensor_info.h"

namespace gptvq {

// Writes one safetensors file front to back: all tensors are declared first, then their bytes follow in the order that
// the writer lays down (docs/format.md section 2.8). Deterministic: equal tensors and metadata give equal bytes, in
// whatever order they were declared. Memory: O(header). Borrows the file, which it does not close. Thread-compatible.
//
//   GPTVQ_ASSIGN_OR_RETURN(auto writer, SafetensorsWriter::Begin(tensors, {{"format", "pt"}}, *file));
//   for (const TensorInfo& tensor : writer.order()) GPTVQ_RETURN_IF_ERROR(writer.Append(BytesOf(tensor)));
//   GPTVQ_RETURN_IF_ERROR(writer.Finish());
//   GPTVQ_RETURN_IF_ERROR(file->Close());
class SafetensorsWriter {
 public:
  // Writes the header. Errors: InvalidArgument for a name that is twice there, too long or not UTF-8, or when a limit
  // of section 2 would be passed; those of WritableFile::Append.
  static absl::StatusOr<SafetensorsWriter> Begin(std::vector<TensorInfo> tensors,
                                                 const std::map<std::string, std::string>& metadata,
                                                 WritableFile& file);

  // The order of the data: decreasing element size, then names in byte order.
  const std::vector<TensorInfo>& order() const { return order_; }

  // The next bytes of the data; a tensor may come in pieces. Errors: OutOfRange beyond the declared bytes; those of
  // WritableFile::Append.
  absl::Status Append(absl::Span<const std::byte> bytes);

  // Errors: FailedPrecondition when declared bytes are missing.
  absl::Status Finish() const;

 private:
  SafetensorsWriter(std::vector<TensorInfo> order, std::uint64_t bytes_left, WritableFile& file)
      : order_(std::move(order)), bytes_left_(bytes_left), file_(&file) {}

  std::vector<TensorInfo> order_;
  std::uint64_t bytes_left_;
  WritableFile* file_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_SAFETENSORS_WRITER_H_

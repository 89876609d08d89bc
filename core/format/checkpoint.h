#ifndef GPTVQ_CORE_FORMAT_CHECKPOINT_H_
#define GPTVQ_CORE_FORMAT_CHECKPOINT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/file.h"
#include "core/base/matrix_view.h"
#include "core/format/safetensors_reader.h"
#include "core/format/tensor_info.h"

namespace gptvq {

// The tensors of a Hugging Face model directory (docs/format.md section 3): one model.safetensors, or the shards that
// model.safetensors.index.json names. All headers are read and checked against the index when it is opened; data is
// read by range on demand. Memory: O(headers) plus 1 MiB per read in progress. Its files stay open. Thread-safe.
class Checkpoint {
 public:
  // Errors: NotFound when the directory holds no safetensors weights; InvalidArgument, naming file and entry, for an
  // index that names what is not a sibling, a missing shard, a tensor missing from its shard, a tensor in two shards or
  // a total_size that contradicts the shards; those of SafetensorsReader::Open and ReadableDirectory.
  static absl::StatusOr<Checkpoint> Open(const ReadableDirectory& directory);

  // A single safetensors file of any name; the first form owns it, the second borrows it.
  // Errors: those of SafetensorsReader::Open.
  static absl::StatusOr<Checkpoint> OpenFile(std::unique_ptr<RandomAccessFile> file);
  static absl::StatusOr<Checkpoint> OpenFile(const RandomAccessFile& file);

  // Oddities that do not make the checkpoint unusable, one sentence each.
  const std::vector<std::string>& warnings() const { return warnings_; }
  const std::vector<SafetensorsReader>& shards() const { return shards_; }
  // In byte order.
  std::vector<std::string> TensorNames() const;

  // Null when there is no such tensor. Valid as long as the checkpoint.
  const TensorInfo* Find(std::string_view name) const;
  // Errors: NotFound naming tensor and directory.
  absl::StatusOr<TensorInfo> Get(std::string_view name) const;

  // Errors of the readers below: NotFound; InvalidArgument when the tensor is not floating point, not of rank 2 (rows)
  // or not of the caller's size; OutOfRange; those of RandomAccessFile::ReadAt. Values are converted as in
  // DecodeToFloat; NaN and infinity pass through.

  // Rows [row_begin, row_begin + rows_out.rows) of a matrix.
  absl::Status ReadRows(std::string_view name, std::int64_t row_begin, MatrixView<float> rows_out) const;
  // The whole tensor of any rank, row-major; values_out.size() == element_count().
  absl::Status ReadAll(std::string_view name, absl::Span<float> values_out) const;
  // Stored bytes from `offset` (inside the tensor) on.
  absl::Status ReadBytes(std::string_view name, std::uint64_t offset, absl::Span<std::byte> bytes_out) const;

 private:
  struct Place {
    std::size_t shard;
    const StoredTensor* tensor;
  };

  explicit Checkpoint(std::string name) : name_(std::move(name)) {}
  const Place* FindPlace(std::string_view name) const;  // null when there is no such tensor
  absl::StatusOr<Place> Locate(std::string_view name) const;
  static absl::StatusOr<Checkpoint> OfOneFile(SafetensorsReader reader);
  // Fills places_ from the shards. Errors: InvalidArgument for a tensor in two shards.
  absl::Status Collect();

  std::string name_;  // of the directory or file, for messages
  std::vector<SafetensorsReader> shards_;
  std::vector<Place> places_;  // in byte order of the names
  std::vector<std::string> warnings_;
};

inline constexpr std::string_view kSingleWeightsFile = "model.safetensors";
inline constexpr std::string_view kWeightsIndexFile = "model.safetensors.index.json";

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_CHECKPOINT_H_

#include "core/pipeline/boundary.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/dtype.h"
#include "core/base/status_macros.h"
#include "core/format/safetensors_reader.h"
#include "core/format/safetensors_writer.h"

namespace gptvq {
namespace {

constexpr std::string_view kTensorName = "activations";
constexpr std::int64_t kPieceBytes = 4 << 20;

// Calls body(first row, row count) over pieces of a few MiB.
template <typename Body>
absl::Status ForEachPiece(std::int64_t rows, std::int64_t cols, Body body) {
  const std::int64_t piece_rows = std::max<std::int64_t>(1, kPieceBytes / (cols * std::int64_t{sizeof(float)}));
  for (std::int64_t row = 0; row < rows; row += piece_rows) {
    GPTVQ_RETURN_IF_ERROR(body(row, std::min(piece_rows, rows - row)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteBoundary(const Activations& activations, WritableFile& file) {
  const DType dtype = activations.view().dtype;
  const std::int64_t rows = activations.token_count();
  const std::int64_t cols = activations.shape().hidden_size;
  GPTVQ_ASSIGN_OR_RETURN(
      SafetensorsWriter writer,
      SafetensorsWriter::Begin({TensorInfo{std::string(kTensorName), dtype, {rows, cols}}}, {}, file));
  std::vector<float> values;
  std::vector<std::byte> bytes;
  GPTVQ_RETURN_IF_ERROR(ForEachPiece(rows, cols, [&](std::int64_t row, std::int64_t count) -> absl::Status {
    values.resize(static_cast<std::size_t>(count * cols));
    bytes.resize(values.size() * DTypeBytes(dtype));
    GPTVQ_RETURN_IF_ERROR(activations.CopyRowsToHost(row, MatrixView<float>(values.data(), count, cols)));
    EncodeFromFloat(dtype, values, absl::MakeSpan(bytes));
    return writer.Append(bytes);
  }));
  return writer.Finish();
}

absl::StatusOr<Activations> ReadBoundary(std::unique_ptr<RandomAccessFile> file, const Activations::Shape& shape,
                                         Backend& backend) {
  GPTVQ_ASSIGN_OR_RETURN(const SafetensorsReader reader, SafetensorsReader::Open(std::move(file)));
  const DType dtype = backend.activation_dtype();
  const std::int64_t rows = shape.sample_count * shape.sequence_length;
  const std::int64_t cols = shape.hidden_size;
  const StoredTensor* tensor = reader.Find(kTensorName);
  if (tensor == nullptr || tensor->info.dtype != dtype || tensor->info.shape != std::vector<std::int64_t>{rows, cols}) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(reader.file_name()), ": not a boundary of ", rows, " x ",
                                                   cols, " activations in ", std::string(DTypeName(dtype))));
  }
  GPTVQ_ASSIGN_OR_RETURN(Activations activations, Activations::Allocate(backend, shape));
  std::vector<float> values;
  std::vector<std::byte> bytes;
  GPTVQ_RETURN_IF_ERROR(ForEachPiece(rows, cols, [&](std::int64_t row, std::int64_t count) -> absl::Status {
    values.resize(static_cast<std::size_t>(count * cols));
    bytes.resize(values.size() * DTypeBytes(dtype));
    GPTVQ_RETURN_IF_ERROR(
        reader.Read(*tensor, static_cast<std::uint64_t>(row * cols) * DTypeBytes(dtype), absl::MakeSpan(bytes)));
    DecodeToFloat(dtype, bytes, absl::MakeSpan(values));
    return activations.CopyRowsFromHost(row, MatrixView<const float>(values.data(), count, cols));
  }));
  return activations;
}

}  // namespace gptvq

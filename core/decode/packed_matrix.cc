#include "core/decode/packed_matrix.h"

#include <algorithm>
#include <string>
#include <variant>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/decode/code_kernels.h"
#include "core/decode/row_reader.h"
#include "core/format/packed_linear.h"

namespace gptvq {
namespace {

constexpr std::int64_t kVectorRows = 16;      // of one task of MultiplyVector
constexpr std::int64_t kTileRows = 32;        // of one task of Multiply; a multiple of 4
constexpr std::int64_t kTileCols = 1024;      // 32 x 1024 floats stay in the second cache while all tokens pass
constexpr std::int64_t kMaxVectorTokens = 2;  // up to here decoding once per token is cheaper than a tile
constexpr int kMaxUniformCodeBits = 7;

std::vector<std::uint8_t> BytesOf(absl::Span<const PackedTensor> tensors, const std::string& name) {
  const auto it = std::find_if(tensors.begin(), tensors.end(),
                               [&name](const PackedTensor& tensor) { return tensor.info.name == name; });
  GPTVQ_CHECK(it != tensors.end());
  const auto* data = reinterpret_cast<const std::uint8_t*>(it->bytes.data());
  return {data, data + it->bytes.size()};
}

std::unique_ptr<RowReader> MakeRowReader(const PackedModule& module, absl::Span<const PackedTensor> tensors,
                                         const QuantizedLinear& linear) {
  if (const auto* vector = std::get_if<VectorQuantizedLinear>(&linear); vector != nullptr) {
    std::vector<std::uint8_t> indices = BytesOf(tensors, module.name + std::string(kIndicesSuffix));
    const VectorLayout& layout = std::get<VectorLayout>(module.layout);
    return HasCodeReader(layout) ? MakeVectorCodeReader(layout, *vector, std::move(indices))
                                 : MakeFloatReader(*vector, std::move(indices));
  }
  const auto& uniform = std::get<UniformQuantizedLinear>(linear);
  std::vector<std::uint8_t> codes = BytesOf(tensors, module.name + std::string(kUniformCodesSuffix));
  return uniform.bits <= kMaxUniformCodeBits ? MakeUniformCodeReader(uniform, std::move(codes))
                                             : MakeFloatReader(uniform, std::move(codes));
}

// Puts an input into the order of the reader, zeros into its padding.
void PrepareInput(const std::vector<std::int32_t>& column_of_place, const float* x, float* prepared_out) {
  for (std::size_t p = 0; p < column_of_place.size(); ++p) {
    prepared_out[p] = column_of_place[p] == RowReader::kNoColumn ? 0.0f : x[column_of_place[p]];
  }
}

}  // namespace

PackedMatrix::PackedMatrix(std::int64_t rows, std::int64_t cols, std::int64_t packed_bytes,
                           std::unique_ptr<const RowReader> reader)
    : rows_(rows), cols_(cols), packed_bytes_(packed_bytes), reader_(std::move(reader)) {}
PackedMatrix::PackedMatrix(PackedMatrix&&) noexcept = default;
PackedMatrix::~PackedMatrix() = default;

absl::StatusOr<PackedMatrix> PackedMatrix::Make(const PackedModule& module, absl::Span<const PackedTensor> tensors) {
  GPTVQ_ASSIGN_OR_RETURN(const QuantizedLinear linear, UnpackLinear(module, tensors));
  std::int64_t packed_bytes = 0;
  for (const PackedTensor& tensor : tensors) packed_bytes += static_cast<std::int64_t>(tensor.bytes.size());
  return PackedMatrix(module.rows, module.cols, packed_bytes, MakeRowReader(module, tensors, linear));
}

void PackedMatrix::MultiplyVector(absl::Span<const float> x, absl::Span<float> y_out, WorkerPool& pool) const {
  GPTVQ_CHECK(static_cast<std::int64_t>(x.size()) == cols_ && static_cast<std::int64_t>(y_out.size()) == rows_);
  std::vector<float> prepared(reader_->column_of_place().size());
  PrepareInput(reader_->column_of_place(), x.data(), prepared.data());
  std::vector<RowScratch> scratch(pool.thread_count());
  pool.ParallelForWithThread((rows_ + kVectorRows - 1) / kVectorRows, [&](std::int64_t task, int thread) {
    const std::int64_t end = std::min((task + 1) * kVectorRows, rows_);
    for (std::int64_t r = task * kVectorRows; r < end; ++r) {
      y_out[r] = reader_->DotRow(r, prepared.data(), scratch[thread]);
    }
  });
}

void PackedMatrix::Multiply(MatrixView<const float> x, MatrixView<float> y_out, WorkerPool& pool) const {
  GPTVQ_CHECK(x.cols == cols_ && y_out.cols == rows_ && x.rows == y_out.rows);
  if (x.rows <= kMaxVectorTokens) {
    for (std::int64_t t = 0; t < x.rows; ++t) {
      MultiplyVector({x.row(t), static_cast<std::size_t>(cols_)}, {y_out.row(t), static_cast<std::size_t>(rows_)},
                     pool);
    }
    return;
  }
  const std::int64_t places = static_cast<std::int64_t>(reader_->column_of_place().size());
  std::vector<float> prepared(x.rows * places);
  pool.ParallelFor(x.rows, [&](std::int64_t t) {
    PrepareInput(reader_->column_of_place(), x.row(t), prepared.data() + t * places);
  });
  const MatrixView<const float> inputs(prepared.data(), x.rows, places);
  std::vector<RowScratch> scratch(pool.thread_count());
  std::vector<std::vector<float>> tiles(pool.thread_count());
  pool.ParallelForWithThread((rows_ + kTileRows - 1) / kTileRows, [&](std::int64_t task, int thread) {
    const std::int64_t begin = task * kTileRows;
    const std::int64_t count = std::min(kTileRows, rows_ - begin);
    tiles[thread].resize(kTileRows * places, 0.0f);
    const MatrixView<float> tile(tiles[thread].data(), kTileRows, places);
    for (std::int64_t r = 0; r < count; ++r) reader_->ReadRow(begin + r, tile.row(r), scratch[thread]);
    const MatrixView<float> y = y_out.Cols(begin, count);
    for (std::int64_t t = 0; t < y.rows; ++t) std::fill_n(y.row(t), count, 0.0f);
    for (std::int64_t c = 0; c < places; c += kTileCols) {
      const std::int64_t width = std::min(kTileCols, places - c);
      AddProduct(inputs.Cols(c, width), tile.Cols(c, width), y);
    }
  });
}

void PackedMatrix::DecodeRows(std::int64_t row_begin, MatrixView<float> rows_out) const {
  GPTVQ_CHECK(row_begin >= 0 && row_begin + rows_out.rows <= rows_ && rows_out.cols == cols_);
  const std::vector<std::int32_t>& column_of_place = reader_->column_of_place();
  std::vector<float> weights(column_of_place.size(), 0.0f);
  RowScratch scratch;
  for (std::int64_t r = 0; r < rows_out.rows; ++r) {
    reader_->ReadRow(row_begin + r, weights.data(), scratch);
    for (std::size_t p = 0; p < weights.size(); ++p) {
      if (column_of_place[p] != RowReader::kNoColumn) rows_out.at(r, column_of_place[p]) = weights[p];
    }
  }
}

}  // namespace gptvq

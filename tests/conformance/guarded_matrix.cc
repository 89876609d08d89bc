#include "tests/conformance/guarded_matrix.h"

#include <cstddef>
#include <cstring>
#include <utility>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

constexpr int kPoison = 0xff;
constexpr std::int64_t kOddMarginCols = 3;  // so that rows are not aligned for vector instructions
constexpr std::int64_t kAlignedMarginCols = 16;

}  // namespace

GuardedBytes::GuardedBytes(Backend& backend, std::int64_t rows, std::int64_t cols, std::size_t element_bytes,
                           Rows alignment)
    : backend_(backend),
      rows_(rows),
      cols_(cols),
      margin_cols_(alignment == Rows::kAligned ? kAlignedMarginCols : kOddMarginCols),
      element_bytes_(element_bytes) {
  total_bytes_ = static_cast<std::size_t>((rows + 2 * kMarginRows) * stride()) * element_bytes;
  auto memory = backend.Allocate(total_bytes_);
  GPTVQ_CHECK(memory.ok());
  memory_ = std::move(memory).value();
  const std::vector<std::uint8_t> poison(total_bytes_, kPoison);
  GPTVQ_CHECK(backend.CopyBytesFromHost(poison.data(), memory_->address(), total_bytes_).ok());
}

void* GuardedBytes::interior() const { return static_cast<std::byte*>(memory_->address()) + Offset(0, 0); }

std::size_t GuardedBytes::Offset(std::int64_t row, std::int64_t col) const {
  return static_cast<std::size_t>((row + kMarginRows) * stride() + margin_cols_ + col) * element_bytes_;
}

void GuardedBytes::Write(const void* values) {
  const std::size_t row_bytes = static_cast<std::size_t>(cols_) * element_bytes_;
  for (std::int64_t r = 0; r < rows_; ++r) {
    GPTVQ_CHECK(backend_
                    .CopyBytesFromHost(static_cast<const std::byte*>(values) + r * row_bytes,
                                       static_cast<std::byte*>(memory_->address()) + Offset(r, 0), row_bytes)
                    .ok());
  }
}

void GuardedBytes::Read(void* values_out) const {
  std::vector<std::uint8_t> all(total_bytes_);
  GPTVQ_CHECK(backend_.CopyBytesToHost(memory_->address(), all.data(), total_bytes_).ok());
  const std::size_t row_bytes = static_cast<std::size_t>(cols_) * element_bytes_;
  for (std::int64_t r = 0; r < rows_ && row_bytes > 0; ++r) {
    std::memcpy(static_cast<std::byte*>(values_out) + r * row_bytes, &all[Offset(r, 0)], row_bytes);
    std::memset(&all[Offset(r, 0)], kPoison, row_bytes);
  }
  std::size_t changed = 0;
  for (std::uint8_t byte : all) changed += byte != kPoison;
  EXPECT_EQ(changed, 0u) << "bytes outside the matrix were written";
}

GuardedTensor::GuardedTensor(Backend& backend, std::int64_t rows, std::int64_t cols, const std::vector<float>& values,
                             Rows alignment)
    : GuardedTensor(backend, rows, cols, alignment) {
  GPTVQ_CHECK(static_cast<std::int64_t>(values.size()) == rows * cols);
  GPTVQ_CHECK(backend.CopyFromHost(MatrixView<const float>(values.data(), rows, cols), view_).ok());
}

std::vector<float> GuardedTensor::Read() const {
  std::vector<std::byte> raw(static_cast<std::size_t>(view_.rows * view_.cols) * DTypeBytes(view_.dtype));
  bytes_.Read(raw.data());
  std::vector<float> values(static_cast<std::size_t>(view_.rows * view_.cols));
  DecodeToFloat(view_.dtype, raw, absl::MakeSpan(values));
  return values;
}

}  // namespace gptvq

#include "core/cpu/sgemm.h"

#include <algorithm>

#include "core/base/check.h"

namespace gptvq {
namespace {

constexpr std::int64_t kInner = 256;    // terms summed up in registers: a right panel of 32 columns is 32 KiB
constexpr std::int64_t kTileRows = 96;  // a packed left tile of 96 KiB stays in the second cache
constexpr std::int64_t kTileCols = 768;
constexpr std::int64_t kPieceCols = 4096;                     // of the right operand that are packed at a time,
constexpr std::int64_t kPieceFloats = std::int64_t{1} << 20;  // and how much of it in all

std::int64_t RoundUp(std::int64_t value, std::int64_t unit) { return (value + unit - 1) / unit * unit; }
std::int64_t CountPieces(std::int64_t size, std::int64_t piece) { return (size + piece - 1) / piece; }

// Width of tiles that cut `cols` evenly, in whole panels of any instruction set: a narrow last tile would pack the left
// operand for little work.
std::int64_t TileWidth(std::int64_t cols) {
  constexpr std::int64_t kWidestPanel = 32;
  const std::int64_t tiles = std::max<std::int64_t>(1, (cols + kTileCols / 2) / kTileCols);
  return std::max(kWidestPanel, RoundUp(CountPieces(cols, tiles), kWidestPanel));
}

}  // namespace

float* AlignedScratch::Floats(std::int64_t count) {
  if (count > size_) {
    data_ = hwy::AllocateAligned<float>(static_cast<std::size_t>(count));
    GPTVQ_CHECK(data_ != nullptr);
    size_ = count;
  }
  return data_.get();
}

void Sgemm::Multiply(float alpha, const Operand& left, const Operand& right, float beta, MatrixView<float> c,
                     Region region) {
  GPTVQ_CHECK(left.cols() == right.rows() && c.rows == left.rows() && c.cols == right.cols());
  const std::int64_t inner = left.cols();
  for (std::int64_t col = 0; col < c.cols; col += kPieceCols) {
    const std::int64_t cols = std::min(kPieceCols, c.cols - col);
    const std::int64_t piece_inner = std::max(kInner, kPieceFloats / RoundUp(cols, kTileCols) / kInner * kInner);
    PackedProduct product;
    product.alpha = alpha;
    product.beta = beta;
    product.region = region;
    product.diagonal = col;
    std::int64_t k = 0;
    do {  // at least once: an empty sum still sets C
      const std::int64_t terms = std::min(piece_inner, inner - k);
      MultiplyPiece(product, left.Block(0, k, c.rows, terms), right.Block(k, col, terms, cols), c.Cols(col, cols));
      product.beta = 1;
      k += piece_inner;
    } while (k < inner);
  }
}

void Sgemm::MultiplyPiece(const PackedProduct& product, const Operand& left, const Operand& right,
                          MatrixView<float> c) {
  // Packed right operand: [tiles of columns][blocks of kInner][panels]; every piece but the last of its kind is full.
  const std::int64_t inner = right.rows();
  const std::int64_t width = TileWidth(c.cols);
  const std::int64_t col_tiles = CountPieces(c.cols, width);
  const std::int64_t blocks = CountPieces(inner, kInner);
  float* right_panels = right_panels_.Floats(col_tiles * width * inner);
  pool_.ParallelFor(col_tiles * blocks, [&](std::int64_t task) {
    const std::int64_t col = task / blocks * width;
    const std::int64_t k = task % blocks * kInner;
    PackRight(right.Block(k, col, std::min(kInner, inner - k), std::min(width, c.cols - col)),
              right_panels + col * inner + k * width);
  });

  pool_.ParallelForWithThread(CountPieces(c.rows, kTileRows) * col_tiles, [&](std::int64_t task, int thread) {
    const std::int64_t row = task / col_tiles * kTileRows;
    const std::int64_t col = task % col_tiles * width;
    const std::int64_t rows = std::min(kTileRows, c.rows - row);
    const MatrixView<float> target = c.Block(row, col, rows, std::min(width, c.cols - col));
    PackedProduct block = product;
    block.diagonal = product.diagonal + col - row;
    if (block.region == Region::kUpper && block.diagonal + target.cols <= 0) return;
    float* left_panels = left_panels_[thread].Floats(RoundUp(rows, MicroPanel().rows) * kInner);
    std::int64_t k = 0;
    do {
      block.inner = std::min(kInner, inner - k);
      PackLeft(left.Block(row, k, rows, block.inner), left_panels);
      block.left = left_panels;
      block.right = right_panels + col * inner + k * width;
      MultiplyPacked(block, target);
      block.beta = 1;
      k += kInner;
    } while (k < inner);
  });
}

}  // namespace gptvq

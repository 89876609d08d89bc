#include "core/spec/bits_per_value.h"

namespace gptvq {
namespace {

std::int64_t WholeBytesInBits(std::int64_t bits) { return (bits + 7) / 8 * 8; }

struct CodebookBits {
  BitCount& count;

  void operator()(const Int8Codebooks& codebooks) const {
    count.codebook_bits = 8 * static_cast<std::int64_t>(codebooks.codes.size());
    count.codebook_scale_bits = 16 * static_cast<std::int64_t>(codebooks.scales.size());
  }
  void operator()(const Fp16Codebooks& codebooks) const {
    count.codebook_bits = 16 * static_cast<std::int64_t>(codebooks.entries.size());
  }
  void operator()(const SvdCodebooks& codebooks) const {
    count.codebook_bits = 8 * static_cast<std::int64_t>(codebooks.codes.size());
    count.codebook_scale_bits = 32 * static_cast<std::int64_t>(codebooks.basis.size());
  }
};

struct LinearBits {
  BitCount operator()(const VectorQuantizedLinear& linear) const {
    const std::int64_t rows = linear.layout.rows();
    const std::int64_t cols = linear.layout.cols();
    BitCount count;
    count.weights = rows * cols;
    for (const Stripe& stripe : linear.layout.stripes()) {
      count.index_bits += rows * WholeBytesInBits(stripe.column_count / linear.vector_dim * linear.index_bits);
    }
    std::visit(CodebookBits{count}, linear.codebooks);
    const std::int64_t blocks = linear.block_scales.block_count(cols);
    count.block_scale_bits = rows * WholeBytesInBits(4 * blocks) + 2 * 32 * blocks;
    return count;
  }

  BitCount operator()(const UniformQuantizedLinear& linear) const {
    const std::int64_t groups = linear.groups_per_row();
    BitCount count;
    count.weights = linear.rows * linear.cols;
    count.index_bits = linear.rows * WholeBytesInBits(linear.cols * linear.bits);
    count.block_scale_bits = linear.rows * (16 * groups + WholeBytesInBits(groups * linear.bits));
    count.permutation_bits = 32 * static_cast<std::int64_t>(linear.permutation.size());
    return count;
  }
};

}  // namespace

BitCount& BitCount::operator+=(const BitCount& other) {
  weights += other.weights;
  index_bits += other.index_bits;
  codebook_bits += other.codebook_bits;
  codebook_scale_bits += other.codebook_scale_bits;
  block_scale_bits += other.block_scale_bits;
  permutation_bits += other.permutation_bits;
  return *this;
}

BitCount CountBits(const QuantizedLinear& linear) { return std::visit(LinearBits{}, linear); }

}  // namespace gptvq

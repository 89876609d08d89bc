#ifndef GPTVQ_CORE_SPEC_BITS_PER_VALUE_H_
#define GPTVQ_CORE_SPEC_BITS_PER_VALUE_H_

#include <cstdint>

#include "core/spec/quantized_linear.h"

namespace gptvq {

// Every bit that a quantized linear (or a sum of them) occupies, by part. Exact: counts what is written to the packed
// file, including what the published formula leaves out (codebook scales, block scale parameters, padding of index rows).
struct BitCount {
  std::int64_t weights = 0;  // number of weights represented
  std::int64_t index_bits = 0;
  std::int64_t codebook_bits = 0;
  std::int64_t codebook_scale_bits = 0;
  std::int64_t block_scale_bits = 0;  // codes and parameters; for uniform grids: scales and zero points
  std::int64_t permutation_bits = 0;

  std::int64_t total_bits() const {
    return index_bits + codebook_bits + codebook_scale_bits + block_scale_bits + permutation_bits;
  }
  // Total over weights; 0 when there is no weight.
  double bits_per_value() const {
    return weights == 0 ? 0.0 : static_cast<double>(total_bits()) / static_cast<double>(weights);
  }

  BitCount& operator+=(const BitCount& other);
  friend bool operator==(const BitCount&, const BitCount&) = default;
};

// What the packed form of `linear` occupies, by the layout of docs/format.md.
BitCount CountBits(const QuantizedLinear& linear);

}  // namespace gptvq

#endif  // GPTVQ_CORE_SPEC_BITS_PER_VALUE_H_

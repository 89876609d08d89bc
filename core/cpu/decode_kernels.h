#ifndef GPTVQ_CORE_CPU_DECODE_KERNELS_H_
#define GPTVQ_CORE_CPU_DECODE_KERNELS_H_

#include <cstdint>

namespace gptvq {

// Inner loops of DecodeVectors and AccumulateCentroidSums over a run of vectors of one row, one group and one scale.

struct DecodeTable {
  const float* centroids = nullptr;  // [K, d]
  std::int64_t count = 0;            // K
  int vector_dim = 0;
  float scale = 1;
};

// weights_out[i] = scale * centroid indices[i], for `count` vectors.
void DecodeRun(const DecodeTable& table, const std::uint8_t* indices, std::int64_t count, float* weights_out);

// Vector i of a run adds to copy i mod SumCopies of the sums. An addition takes about ten cycles from load to load of the
// same address, and the processor expects neighbours to meet; so many must be under way. 16 KiB at most.
constexpr int SumCopies(int vector_dim) { return vector_dim == 4 ? 4 : 8; }

struct SumTable {
  float* sums = nullptr;  // [K, SumCopies, d]
  int vector_dim = 0;
  float scale = 1;
};

// sums of centroid indices[i] += scale * x[i], for `count` vectors.
void AddRun(const SumTable& table, const std::uint8_t* indices, std::int64_t count, const float* x);

// sums_out [K, d] = the copies of every centroid's sums added up, in their order.
void FoldCopies(const SumTable& table, std::int64_t centroid_count, float* sums_out);

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_DECODE_KERNELS_H_

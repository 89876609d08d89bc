#ifndef GPTVQ_CORE_CPU_SGEMM_H_
#define GPTVQ_CORE_CPU_SGEMM_H_

#include <cstdint>
#include <vector>

#include "core/base/worker_pool.h"
#include "core/cpu/sgemm_kernels.h"
#include "hwy/aligned_allocator.h"

namespace gptvq {

// Memory for floats that grows and is kept, aligned for vector instructions.
class AlignedScratch {
 public:
  // At least `count` floats, with what they last held or nothing in particular; invalidates what was given out before.
  float* Floats(std::int64_t count);

 private:
  hwy::AlignedFreeUniquePtr<float[]> data_;
  std::int64_t size_ = 0;
};

// f32 matrix products over the threads of a pool (docs/adr/0003: why not by BLAS). A piece of the right operand is packed by all
// threads, then every task packs a tile of rows of the left one and writes a tile of C. Tiles and the order of every sum
// depend on the shapes alone: bitwise equal for any number of threads.
// Owns packing memory (16 MiB for the right operand, 100 KiB a thread); borrows the pool. Thread-compatible.
class Sgemm {
 public:
  explicit Sgemm(WorkerPool& pool) : pool_(pool), left_panels_(pool.thread_count()) {}

  // c = alpha left right + beta c; beta 0 ignores what c held. Precondition: the shapes fit, c overlaps no operand.
  void Multiply(float alpha, const Operand& left, const Operand& right, float beta, MatrixView<float> c,
                Region region = Region::kAll);

 private:
  // As Multiply, for a piece of the right operand that fits into the packing memory; `product` holds the factors, the region and
  // where c lies against the diagonal.
  void MultiplyPiece(const PackedProduct& product, const Operand& left, const Operand& right, MatrixView<float> c);

  WorkerPool& pool_;
  AlignedScratch right_panels_;
  std::vector<AlignedScratch> left_panels_;  // one per thread
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_SGEMM_H_

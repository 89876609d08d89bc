#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CORE_CUDA_TENSOR_CORE_CUH_
#define GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CORE_CUDA_TENSOR_CORE_CUH_

// core/cuda/tensor_core.cuh with the layouts of its instructions spelled out, after the PTX manual ("Matrix fragments for
// mma.m16n8k16" and "ldmatrix").

#include "core/base/dtype.h"
#include "cuda_runtime_api.h"
#include "tensor_core_sum.h"

namespace gptvq::cuda {

// Matrix m's row r begins where lane 8 m + r points; lane l gets the elements 2 (l % 4), 2 (l % 4) + 1 of row l / 4, or,
// transposed, of column l / 4.
inline void LoadMatrices(unsigned (&to)[4], const std::uint16_t* row) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) simt::Fail("ldmatrix of a row that is not aligned");
  const simt::WarpValues& rows = simt::Exchange(row);
  for (int m = 0; m < 4; ++m) {
    const auto* from = rows.At<const std::uint16_t*>(8 * m + simt::Lane() / 4) + simt::Lane() % 4 * 2;
    to[m] = from[0] | static_cast<unsigned>(from[1]) << 16;
  }
  simt::SyncWarp();  // before the rows change
}
inline void LoadMatricesTransposed(unsigned (&to)[4], const std::uint16_t* row) {
  if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) simt::Fail("ldmatrix of a row that is not aligned");
  const simt::WarpValues& rows = simt::Exchange(row);
  for (int m = 0; m < 4; ++m) {
    const int r = 8 * m + simt::Lane() % 4 * 2, column = simt::Lane() / 4;
    to[m] = rows.At<const std::uint16_t*>(r)[column] |
            static_cast<unsigned>(rows.At<const std::uint16_t*>(r + 1)[column]) << 16;
  }
  simt::SyncWarp();
}

// a: registers (row / 8, k / 8) = (0, 0), (1, 0), (0, 1), (1, 1); b: k / 8; c: rows l / 4 and l / 4 + 8.
inline void MultiplyAdd(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  struct Registers {
    unsigned a[4], b[2];
  };
  const simt::WarpValues& values = simt::Exchange(Registers{{a[0], a[1], a[2], a[3]}, {b0, b1}});
  const auto half_of = [](unsigned pair, int k) {
    return Bf16ToFloat(static_cast<std::uint16_t>(pair >> (k % 2 * 16)));
  };
  for (int i = 0; i < 4; ++i) {
    const int row = simt::Lane() / 4 + i / 2 * 8, col = simt::Lane() % 4 * 2 + i % 2;
    for (int first = 0; first < 16; first += simt::kBf16ProductsAtATime) {
      double sum = c[i];
      for (int k = first; k < first + simt::kBf16ProductsAtATime; ++k) {
        const auto left = values.At<Registers>(row % 8 * 4 + k % 8 / 2),
                   right = values.At<Registers>(col * 4 + k % 8 / 2);
        sum += static_cast<double>(half_of(left.a[row / 8 + k / 8 * 2], k)) * half_of(right.b[k / 8], k);
      }
      c[i] = simt::CutOff(sum);
    }
  }
}

}  // namespace gptvq::cuda

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CORE_CUDA_TENSOR_CORE_CUH_

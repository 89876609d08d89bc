#ifndef GPTVQ_CORE_CUDA_TENSOR_CORE_CUH_
#define GPTVQ_CORE_CUDA_TENSOR_CORE_CUH_

#include <cstdint>

// The instructions of the tensor cores that the kernels use, for whole warps; which lane holds what is the PTX manual's
// "Matrix fragments". tests/cuda_simulator has the same in C++.
namespace gptvq::cuda {

// Four 8 x 8 matrices of bf16; lane l names the row l % 8 of matrix l / 8.
__device__ inline void LoadMatrices(unsigned (&to)[4], const std::uint16_t* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}
__device__ inline void LoadMatricesTransposed(unsigned (&to)[4], const std::uint16_t* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

// c += a b, a 16 x 16, b 16 x 8.
__device__ inline void MultiplyAdd(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_TENSOR_CORE_CUH_

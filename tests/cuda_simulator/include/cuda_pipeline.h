#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUDA_PIPELINE_H_
#define GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUDA_PIPELINE_H_

#include "cuda_runtime_api.h"

inline void __pipeline_memcpy_async(void* to, const void* from, std::size_t bytes, std::size_t zero_bytes) {
  gptvq::simt::CopyLater(to, from, bytes, zero_bytes);
}
inline void __pipeline_commit() { gptvq::simt::CommitCopies(); }
inline void __pipeline_wait_prior(std::size_t groups_left) { gptvq::simt::WaitForCopies(groups_left); }

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_INCLUDE_CUDA_PIPELINE_H_

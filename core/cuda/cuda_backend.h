#ifndef GPTVQ_CORE_CUDA_CUDA_BACKEND_H_
#define GPTVQ_CORE_CUDA_CUDA_BACKEND_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"

namespace gptvq {

// A CUDA device of this machine.
struct CudaDevice {
  int index = 0;
  std::string name;  // "NVIDIA H200"
  std::uint64_t memory_bytes = 0;
  std::string bus_address = {};  // "0000:3b:00.0", by which the driver's other libraries know it
};

// The devices that a backend could be made for, in CUDA's order.
// Errors: FailedPrecondition with one line that says what is missing: this build has no CUDA, the machine has
// no driver or one that is too old, or no device.
absl::StatusOr<std::vector<CudaDevice>> CudaDevices();

struct CudaBackendOptions {
  int device = 0;  // CudaDevice::index
  // Backend::row_unit(): products of f32 matrices are cut into pieces of so many rows, so that the rows of a linear can be
  // shared out in a team. Another numerics class for every value. 0: products are left whole, which is faster.
  std::int64_t row_unit = 0;
};

// The row_unit of teams of GPUs: the least number of rows whose products fill an H100, 4 x 32 tiles of 128 x 256 for 8192
// columns; a multiple of the groups of every preset.
inline constexpr std::int64_t kTeamRowUnit = 512;

// The fast implementation of Backend: bfloat16 activations with f32 accumulation on the tensor cores,
// quantization in f32, factorisation in f64. Operations are queued on one stream of the device and return at
// once unless they return a number or write to host memory, so an error of a kernel may be reported by a later
// operation. Thread-compatible; several may exist in one process, on one device or on several. Memory must not
// outlive its backend.
//
// Deterministic from run to run within one numerics class: the device's name, the version of cuBLAS and that of
// the kernels. Errors: as CudaDevices; every operation may also return a DeviceLostError
// (core/backend/device_lost.h), after which the process must end, and ResourceExhausted when scratch memory
// runs out.
absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(const CudaBackendOptions& options);

}  // namespace gptvq

#endif  // GPTVQ_CORE_CUDA_CUDA_BACKEND_H_

#ifndef GPTVQ_BENCH_GPU_GPU_TABLE_H_
#define GPTVQ_BENCH_GPU_GPU_TABLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"

namespace gptvq {

// What a primitive has to do, counted from its shape: not what an implementation happens to do.
struct GpuWork {
  double flops = 0;
  double bytes = 0;  // of device memory, each input read once and each output written once
};

enum class GpuRoof { kBf16, kFloat, kCopy };

// The one table that gpu_bench prints: a row per primitive with time, rates and share of the roof. The roofs
// are measured in the same process: a large bf16 product, a large f32 product, a large copy. Owns the backend.
class GpuTable {
 public:
  explicit GpuTable(std::unique_ptr<Backend> backend);

  Backend& backend() { return *backend_; }

  // Runs `body` until warm, then in batches between two waits for the device, and prints the median over the
  // batches. `count`: how often a layer does this; 0 leaves the row out of the layer's total.
  void Row(const std::string& label, const GpuWork& work, GpuRoof roof, double count,
           absl::FunctionRef<absl::Status()> body);

  // The sum of count * time over the rows so far.
  void Total(const std::string& label);

  // What a model of `layers` such layers would take: the sum of the rows, and by itself what moving its weights takes at
  // assumed rates, which overlaps with the work but for the first and the last layer.
  void Extrapolate(int layers);

 private:
  double MedianSeconds(absl::FunctionRef<absl::Status()> body);
  void WaitForDevice();

  std::unique_ptr<Backend> backend_;
  double bf16_flops_ = 0, float_flops_ = 0, copy_bytes_ = 0;  // per second
  double total_seconds_ = 0;
};

// Normal random numbers, the same in every run; rows repeat after the first 256, which no primitive can tell.
DeviceMatrix<float> GpuNormals(Backend& backend, std::int64_t rows, std::int64_t cols, std::uint64_t stream,
                               double deviation = 1.0);
DeviceTensor GpuNormalTensor(Backend& backend, std::int64_t rows, std::int64_t cols, std::uint64_t stream,
                             double deviation = 1.0);

// Ends the program with the message unless the check holds: a wrong result is not worth timing.
void Check(const absl::Status& status, const std::string& what);
void CheckFinite(Backend& backend, MatrixView<const float> matrix, const std::string& what);

// The rows of one part of the layer each.
void AddProductRows(GpuTable& table);
void AddAttentionRows(GpuTable& table);
void AddHessianRows(GpuTable& table);
void AddVectorRows(GpuTable& table, const std::string& preset);

// Llama-2-70B: hidden size, feed-forward size, width of keys and values; tokens of a calibration pass (128 x
// 2048) and of one batch of it.
inline constexpr std::int64_t kHidden = 8192, kFeedForward = 28672, kKeyValues = 1024;
inline constexpr std::int64_t kTokens = 262144, kBatch = 16384, kSequence = 2048;

}  // namespace gptvq

#endif  // GPTVQ_BENCH_GPU_GPU_TABLE_H_

#ifndef GPTVQ_BENCH_GPU_GPU_TABLE_H_
#define GPTVQ_BENCH_GPU_GPU_TABLE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// What a primitive has to do, counted from its shape: not what an implementation happens to do.
struct GpuWork {
  double flops = 0;
  double bytes = 0;  // of device memory, each input read once and each output written once
};

enum class GpuRoof { kBf16, kFloat, kCopy };

// A model that is quantized, and the text that it is calibrated on.
struct ModelShape {
  std::string name;
  int layers = 0;
  std::int64_t hidden = 0, feed_forward = 0;
  int heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t tokens = 0, sequence = 0;
  std::int64_t chunk = 0;  // tokens that go through a layer together: kChunkTokens of core/model/layer_forward.h

  std::int64_t key_values() const { return std::int64_t{kv_heads} * head_dim; }
  std::int64_t queries() const { return std::int64_t{heads} * head_dim; }
  double layer_weights() const;  // of its linears
};

struct LinearOfShape {
  std::string name;
  std::int64_t rows = 0, cols = 0;
  double count = 1;  // in a layer
};

// Those of a decoder layer, equal ones once; those that read one input stand together.
std::vector<LinearOfShape> LinearsOf(const ModelShape& shape);

// llama-2-70b, llama-3-8b, or tiny, whose figures mean nothing: to see that the program works. Null for anything else.
const ModelShape* FindShape(const std::string& name);

// The one table that gpu_bench prints: a row per primitive with time, rates and share of the roof. The roofs
// are measured in the same process: a large bf16 product, a large f32 product, a large copy. Owns the backend.
class GpuTable {
 public:
  GpuTable(std::unique_ptr<Backend> backend, const ModelShape& shape);

  Backend& backend() { return *backend_; }
  const ModelShape& shape() const { return shape_; }

  // Runs `body` until warm, then in batches between two waits for the device, and prints the median over the
  // batches. `count`: how often a layer does this; 0 leaves the row out of the layer's total.
  void Row(const std::string& label, const GpuWork& work, GpuRoof roof, double count,
           absl::FunctionRef<absl::Status()> body);

  // Prints, and returns, the sum of count * time over the rows so far, in seconds.
  double Total(const std::string& label);

  // What the whole model would take: layers of so many seconds, and by itself what moving its weights takes at assumed rates,
  // which overlaps with the work but for the first and the last layer. `bits`: stored, per weight.
  void Extrapolate(double layer_seconds, double bits) const;

 private:
  double MedianSeconds(absl::FunctionRef<absl::Status()> body);
  void WaitForDevice();

  std::unique_ptr<Backend> backend_;
  ModelShape shape_;
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
void AddCopyRows(GpuTable& table);  // of no total: beside the work
void AddVectorRows(GpuTable& table, const QuantSpec& spec);

}  // namespace gptvq

#endif  // GPTVQ_BENCH_GPU_GPU_TABLE_H_

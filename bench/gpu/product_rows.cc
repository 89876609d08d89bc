// The forward pass but for attention: the products of a layer and what touches every activation once.
#include "bench/gpu/gpu_table.h"

namespace gptvq {
namespace {

void AddLinear(GpuTable& table, const std::string& name, std::int64_t outputs, std::int64_t inputs, double count) {
  Backend& backend = table.backend();
  const DeviceTensor x = GpuNormalTensor(backend, kBatch, inputs, 10);
  const DeviceTensor w = GpuNormalTensor(backend, outputs, inputs, 11, 0.02);
  DeviceTensor y = DeviceTensor::Allocate(backend, kBatch, outputs).value();
  const double t = kBatch, r = static_cast<double>(outputs), c = static_cast<double>(inputs);
  table.Row("Linear " + name + ", 16384 tokens", {2 * t * r * c, 2 * (t * c + r * c + t * r)}, GpuRoof::kBf16, count,
            [&] { return backend.forward().Linear(x.view(), w.view(), {}, y.view()); });
}

}  // namespace

void AddProductRows(GpuTable& table) {
  Backend& backend = table.backend();
  const double batches = 2.0 * kTokens / kBatch;  // before and after quantization
  AddLinear(table, "q, o 8192 x 8192", kHidden, kHidden, 2 * batches);
  AddLinear(table, "k, v 1024 x 8192", kKeyValues, kHidden, 2 * batches);
  AddLinear(table, "gate, up 28672 x 8192", kFeedForward, kHidden, 2 * batches);
  AddLinear(table, "down 8192 x 28672", kHidden, kFeedForward, batches);

  const double elements = static_cast<double>(kBatch) * kHidden;
  const DeviceTensor x = GpuNormalTensor(backend, kBatch, kHidden, 12);
  DeviceTensor y = GpuNormalTensor(backend, kBatch, kHidden, 13);
  const DeviceMatrix<float> weight = GpuNormals(backend, 1, kHidden, 14);
  table.Row("RmsNorm 16384 x 8192", {4 * elements, 4 * elements}, GpuRoof::kCopy, 2 * batches,
            [&] { return backend.forward().RmsNorm(x.view(), weight.view(), 1e-5, y.view()); });
  table.Row("AddInPlace 16384 x 8192", {elements, 6 * elements}, GpuRoof::kCopy, 2 * batches,
            [&] { return backend.forward().AddInPlace(x.view(), y.view()); });
  const DeviceMatrix<float> angles = GpuNormals(backend, kSequence, 64, 15);
  table.Row("ApplyRotary 16384 x 8192", {6 * elements, 4 * elements}, GpuRoof::kCopy, batches,
            [&] { return backend.forward().ApplyRotary(y.view(), 64, angles.view(), angles.view()); });

  const DeviceTensor gate = GpuNormalTensor(backend, kBatch, kFeedForward, 16),
                     up = GpuNormalTensor(backend, kBatch, kFeedForward, 17);
  DeviceTensor product = DeviceTensor::Allocate(backend, kBatch, kFeedForward).value();
  const double wide = static_cast<double>(kBatch) * kFeedForward;
  table.Row("SwiGlu 16384 x 28672", {5 * wide, 6 * wide}, GpuRoof::kCopy, batches,
            [&] { return backend.forward().SwiGlu(gate.view(), up.view(), product.view()); });
}

}  // namespace gptvq

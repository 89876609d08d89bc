// The forward pass but for attention: the products of a layer and what touches every activation once.
#include "bench/gpu/gpu_table.h"

namespace gptvq {
namespace {

void AddLinear(GpuTable& table, const LinearOfShape& linear, double count) {
  Backend& backend = table.backend();
  const std::int64_t tokens = table.shape().chunk;
  const DeviceTensor x = GpuNormalTensor(backend, tokens, linear.cols, 10);
  const DeviceTensor w = GpuNormalTensor(backend, linear.rows, linear.cols, 11, 0.02);
  DeviceTensor y = DeviceTensor::Allocate(backend, tokens, linear.rows).value();
  const double t = static_cast<double>(tokens), r = static_cast<double>(linear.rows);
  const double c = static_cast<double>(linear.cols);
  table.Row("Linear " + linear.name + " " + std::to_string(linear.rows) + " x " + std::to_string(linear.cols),
            {2 * t * r * c, 2 * (t * c + r * c + t * r)}, GpuRoof::kBf16, count,
            [&] { return backend.forward().Linear(x.view(), w.view(), {}, y.view()); });
}

}  // namespace

void AddProductRows(GpuTable& table) {
  Backend& backend = table.backend();
  const ModelShape& shape = table.shape();
  const std::int64_t tokens = shape.chunk;
  const double once = static_cast<double>(shape.tokens) / static_cast<double>(tokens);
  for (const LinearOfShape& linear : LinearsOf(shape)) {
    // Every linear before its input is calibrated on, or behind it; gate and up for the product and for the output.
    AddLinear(table, linear, once * linear.count * (linear.name == "gate, up" ? 2 : 1));
  }

  const double elements = static_cast<double>(tokens * shape.hidden);
  const std::string narrow = std::to_string(tokens) + " x " + std::to_string(shape.hidden);
  const DeviceTensor x = GpuNormalTensor(backend, tokens, shape.hidden, 12);
  DeviceTensor y = GpuNormalTensor(backend, tokens, shape.hidden, 13);
  const DeviceMatrix<float> weight = GpuNormals(backend, 1, shape.hidden, 14);
  // Norms are made again where they are read again (SequentialPass in core/model/layer_forward.h).
  table.Row("RmsNorm " + narrow, {4 * elements, 4 * elements}, GpuRoof::kCopy, 5 * once,
            [&] { return backend.forward().RmsNorm(x.view(), weight.view(), 1e-5, y.view()); });
  table.Row("AddInPlace " + narrow, {elements, 6 * elements}, GpuRoof::kCopy, 2 * once,
            [&] { return backend.forward().AddInPlace(x.view(), y.view()); });
  const DeviceMatrix<float> angles = GpuNormals(backend, shape.sequence, shape.head_dim / 2, 15);
  table.Row("ApplyRotary " + narrow, {6 * elements, 4 * elements}, GpuRoof::kCopy, once,
            [&] { return backend.forward().ApplyRotary(y.view(), shape.heads, angles.view(), angles.view()); });

  const DeviceTensor gate = GpuNormalTensor(backend, tokens, shape.feed_forward, 16),
                     up = GpuNormalTensor(backend, tokens, shape.feed_forward, 17);
  DeviceTensor product = DeviceTensor::Allocate(backend, tokens, shape.feed_forward).value();
  const double wide = static_cast<double>(tokens * shape.feed_forward);
  table.Row("SwiGlu " + std::to_string(tokens) + " x " + std::to_string(shape.feed_forward), {5 * wide, 6 * wide},
            GpuRoof::kCopy, 2 * once, [&] { return backend.forward().SwiGlu(gate.view(), up.view(), product.view()); });
}

}  // namespace gptvq

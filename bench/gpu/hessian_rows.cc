// The Hessians of the four inputs of a layer, their factors and feedback matrices.
#include "bench/gpu/gpu_table.h"

namespace gptvq {
namespace {

void AddHessian(GpuTable& table, std::int64_t cols, double inputs) {
  Backend& backend = table.backend();
  const std::string order = std::to_string(cols);
  const std::int64_t tokens = table.shape().chunk;
  const DeviceTensor x = GpuNormalTensor(backend, tokens, cols, 30);
  DeviceMatrix<float> h = DeviceMatrix<float>::Zeros(backend, cols, cols).value();
  const double c = static_cast<double>(cols), t = static_cast<double>(tokens);
  table.Row("AccumulateHessian " + std::to_string(tokens) + " x " + order, {t * c * c, 2 * t * c + 4 * c * c},
            GpuRoof::kBf16, inputs * static_cast<double>(table.shape().tokens) / t,
            [&] { return backend.quant().AccumulateHessian(x.view(), h.view()).status(); });
  CheckFinite(backend, h.view(), "Hessian");
}

// On a matrix that is well conditioned: the identity and a little.
void AddFactor(GpuTable& table, std::int64_t cols, double inputs) {
  Backend& backend = table.backend();
  const std::string order = std::to_string(cols);
  DeviceMatrix<float> identity = DeviceMatrix<float>::Zeros(backend, cols, cols).value();
  const float one = 1;
  for (std::int64_t i = 0; i < cols; ++i) {
    Check(backend.CopyBytesFromHost(&one, identity.view().row(i) + i, sizeof(one)), "identity");
  }
  DeviceMatrix<float> h = DeviceMatrix<float>::Allocate(backend, cols, cols).value();
  const double c = static_cast<double>(cols);
  table.Row("ReversedCholesky " + order + " (f64, with a copy)", {c * c * c / 3, 16 * c * c}, GpuRoof::kFloat, inputs,
            [&] {
              Check(backend.CopyInside(identity.view(), h.view()), "copy");
              return backend.quant().ReversedCholesky(h.view());
            });
  DeviceMatrix<float> m = DeviceMatrix<float>::Allocate(backend, cols, cols).value();
  table.Row("NormalizeBlockColumns " + order + " d=2", {c * c, 8 * c * c}, GpuRoof::kCopy, inputs,
            [&] { return backend.quant().NormalizeBlockColumns(h.view(), 2, m.view()); });
}

}  // namespace

void AddHessianRows(GpuTable& table) {
  const ModelShape& shape = table.shape();
  AddHessian(table, shape.hidden, 3);
  AddHessian(table, shape.feed_forward, 1);
  AddFactor(table, shape.hidden, 3);
  AddFactor(table, shape.feed_forward, 1);
}

}  // namespace gptvq

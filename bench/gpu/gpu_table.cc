#include "bench/gpu/gpu_table.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/base/philox.h"

namespace gptvq {
namespace {

constexpr int kBatches = 7;
constexpr double kBatchSeconds = 0.05;
constexpr std::int64_t kDistinctRows = 256;

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::vector<float> Normals(std::int64_t count, std::uint64_t stream, double deviation) {
  const Philox random(1, stream);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {  // Box and Muller 1958
    const double radius = std::sqrt(-2 * std::log(1 - random.Uniform(static_cast<std::uint64_t>(2 * i))));
    const double angle = 6.283185307179586 * random.Uniform(static_cast<std::uint64_t>(2 * i + 1));
    values[i] = static_cast<float>(deviation * radius * std::cos(angle));
  }
  return values;
}

}  // namespace

double ModelShape::layer_weights() const {
  double weights = 0;
  for (const LinearOfShape& linear : LinearsOf(*this)) {
    weights += linear.count * static_cast<double>(linear.rows * linear.cols);
  }
  return weights;
}

std::vector<LinearOfShape> LinearsOf(const ModelShape& shape) {
  const std::int64_t queries = shape.queries();
  return {{"q", queries, shape.hidden, 1},
          {"k, v", shape.key_values(), shape.hidden, 2},
          {"o", shape.hidden, queries, 1},
          {"gate, up", shape.feed_forward, shape.hidden, 2},
          {"down", shape.hidden, shape.feed_forward, 1}};
}

const ModelShape* FindShape(const std::string& name) {
  constexpr std::int64_t kTokens = 128 * 2048;
  static const ModelShape kShapes[] = {
      {"llama-2-70b", 80, 8192, 28672, 64, 8, 128, kTokens, 2048, 2048},
      {"llama-3-8b", 32, 4096, 14336, 32, 8, 128, kTokens, 2048, 2048},
      {"tiny", 2, 128, 256, 4, 2, 32, 64, 32, 32},
  };
  for (const ModelShape& shape : kShapes) {
    if (shape.name == name) return &shape;
  }
  return nullptr;
}

GpuTable::GpuTable(std::unique_ptr<Backend> backend, const ModelShape& shape)
    : backend_(std::move(backend)), shape_(shape) {
  const std::int64_t order = shape.hidden;
  {
    const DeviceTensor a = GpuNormalTensor(*backend_, order, order, 1), b = GpuNormalTensor(*backend_, order, order, 2);
    DeviceTensor c = DeviceTensor::Allocate(*backend_, order, order).value();
    const double seconds = MedianSeconds([&] { return backend_->forward().Linear(a.view(), b.view(), {}, c.view()); });
    bf16_flops_ = 2.0 * order * order * order / seconds;
  }
  const DeviceMatrix<float> a = GpuNormals(*backend_, order, order, 3), b = GpuNormals(*backend_, order, order, 4);
  DeviceMatrix<float> c = DeviceMatrix<float>::Allocate(*backend_, order, order).value();
  const double product = MedianSeconds(
      [&] { return backend_->quant().MatMul(1, a.view(), Transpose::kNo, b.view(), Transpose::kNo, 0, c.view()); });
  const double copy = MedianSeconds([&] { return backend_->CopyInside(a.view(), c.view()); });
  float_flops_ = 2.0 * order * order * order / product;
  copy_bytes_ = 8.0 * order * order / copy;
  std::printf("%s. Roofs: bf16 %.0f TFLOP/s, f32 %.1f TFLOP/s, copy %.2f TB/s (read and written)\n",
              backend_->numerics_class().c_str(), bf16_flops_ * 1e-12, float_flops_ * 1e-12, copy_bytes_ * 1e-12);
  std::printf("%-52s %10s %10s %10s %9s %8s %12s\n", "case", "Gflop", "MB", "ms", "TFLOP/s", "TB/s", "of roof");
}

void GpuTable::Row(const std::string& label, const GpuWork& work, GpuRoof roof, double count,
                   absl::FunctionRef<absl::Status()> body) {
  const double seconds = MedianSeconds(body);
  const double flops = work.flops / seconds, bytes = work.bytes / seconds;
  double share = 0;
  const char* name = "";
  switch (roof) {
    case GpuRoof::kBf16: share = flops / bf16_flops_, name = "bf16"; break;
    case GpuRoof::kFloat: share = flops / float_flops_, name = "f32"; break;
    case GpuRoof::kCopy: share = bytes / copy_bytes_, name = "copy"; break;
  }
  total_seconds_ += count * seconds;
  std::printf("%-52s %10.3f %10.2f %10.4f %9.2f %8.3f %5.0f %% %s\n", label.c_str(), work.flops * 1e-9,
              work.bytes * 1e-6, seconds * 1e3, flops * 1e-12, bytes * 1e-12, 100 * share, name);
  std::fflush(stdout);
}

double GpuTable::Total(const std::string& label) {
  std::printf("%-52s %21s %10.1f\n", label.c_str(), "", total_seconds_ * 1e3);
  return total_seconds_;
}

void GpuTable::Extrapolate(double layer_seconds, double bits) const {
  // Weights of 16 bits, read at the rate of one NVMe drive or a fast object store.
  constexpr double kBytesPerSecond = 2e9;
  const int layers = shape_.layers;
  const double read_bytes = layers * shape_.layer_weights() * 2, written_bytes = read_bytes * bits / 16;
  const double compute = layers * layer_seconds;
  const double moved = (read_bytes + written_bytes) / kBytesPerSecond;
  std::printf(
      "%d layers: %.0f s on the device; reading %.0f GB and writing %.0f GB at %.0f GB/s: %.0f s, of which %.0f s do "
      "not overlap\n",
      layers, compute, read_bytes * 1e-9, written_bytes * 1e-9, kBytesPerSecond * 1e-9, moved, moved / layers);
  std::printf("estimated for the whole model: %.1f min\n", (std::max(compute, moved) + moved / layers) / 60);
}

double GpuTable::MedianSeconds(absl::FunctionRef<absl::Status()> body) {
  Check(body(), "warm-up");
  WaitForDevice();
  const double begin = Now();
  Check(body(), "first run");
  WaitForDevice();
  const int repeats = static_cast<int>(std::clamp(kBatchSeconds / (Now() - begin), 1.0, 1000.0));
  std::vector<double> seconds;
  for (int batch = 0; batch < kBatches; ++batch) {
    const double start = Now();
    for (int i = 0; i < repeats; ++i) Check(body(), "timed run");
    WaitForDevice();
    seconds.push_back((Now() - start) / repeats);
  }
  std::nth_element(seconds.begin(), seconds.begin() + kBatches / 2, seconds.end());
  return seconds[kBatches / 2];
}

void GpuTable::WaitForDevice() {
  DeviceMatrix<float> one = DeviceMatrix<float>::Zeros(*backend_, 1, 1).value();
  Check(one.ToHost(*backend_).status(), "wait for the device");
}

DeviceMatrix<float> GpuNormals(Backend& backend, std::int64_t rows, std::int64_t cols, std::uint64_t stream,
                               double deviation) {
  const std::vector<float> distinct = Normals(std::min(rows, kDistinctRows) * cols, stream, deviation);
  auto matrix = DeviceMatrix<float>::Allocate(backend, rows, cols);
  Check(matrix.status(), "allocation");
  for (std::int64_t row = 0; row < rows; row += kDistinctRows) {
    const auto bytes = static_cast<std::size_t>(std::min(kDistinctRows, rows - row) * cols) * sizeof(float);
    Check(backend.CopyBytesFromHost(distinct.data(), matrix->view().row(row), bytes), "copy");
  }
  return std::move(matrix).value();
}

DeviceTensor GpuNormalTensor(Backend& backend, std::int64_t rows, std::int64_t cols, std::uint64_t stream,
                             double deviation) {
  const std::vector<float> distinct = Normals(std::min(rows, kDistinctRows) * cols, stream, deviation);
  auto tensor = DeviceTensor::Allocate(backend, rows, cols);
  Check(tensor.status(), "allocation");
  for (std::int64_t row = 0; row < rows; row += kDistinctRows) {
    const std::int64_t count = std::min(kDistinctRows, rows - row);
    Check(backend.CopyFromHost(MatrixView<const float>(distinct.data(), count, cols), tensor->view().Rows(row, count)),
          "copy");
  }
  return std::move(tensor).value();
}

void Check(const absl::Status& status, const std::string& what) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", what.c_str(), status.ToString().c_str());
  std::exit(1);
}

void CheckFinite(Backend& backend, MatrixView<const float> matrix, const std::string& what) {
  std::vector<double> dots(static_cast<std::size_t>(matrix.rows));
  Check(backend.quant().RowDots(matrix, matrix, absl::MakeSpan(dots)), what);
  for (double dot : dots) {
    if (std::isfinite(dot)) continue;
    Check(absl::InternalError("not finite: wrong result, not timed"), what);
  }
}

}  // namespace gptvq

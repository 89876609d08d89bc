#include "bench/gpu/whole_layer.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "core/backend/device_matrix.h"
#include "core/base/monotonic_clock.h"
#include "core/quant/hessian.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/quantize_linear.h"
#include "core/spec/presets.h"

namespace gptvq {
namespace {

class SteadyClock final : public MonotonicClock {
 public:
  double NowSeconds() const override {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
};

// As of 256 loud directions of the inputs, and as much again in all others together.
Hessian MakeHessian(Backend& backend, std::int64_t cols, std::uint64_t stream) {
  constexpr std::int64_t kLoud = 256;
  const DeviceTensor x = GpuNormalTensor(backend, kLoud, cols, stream);
  Hessian hessian;
  hessian.matrix = DeviceMatrix<float>::Zeros(backend, cols, cols).value();
  const MatrixView<float> h = hessian.matrix.view();
  const float quiet = kLoud;
  for (std::int64_t i = 0; i < cols; ++i) {
    Check(backend.CopyBytesFromHost(&quiet, h.row(i) + i, sizeof(quiet)), "diagonal");
  }
  Check(backend.quant().AccumulateHessian(x.view(), h).status(), "Hessian");
  Check(backend.quant().Symmetrize(h), "Hessian");
  return hessian;
}

std::vector<float> WeightsOf(Backend& backend, const LinearOfShape& linear, std::uint64_t stream) {
  return GpuNormals(backend, linear.rows, linear.cols, stream, 0.02).ToHost(backend).value();
}

}  // namespace

LayerArguments ParseLayerArguments(int argc, char** argv, const std::string& model) {
  const ModelShape* shape = FindShape(argc > 1 ? argv[1] : model);
  const absl::StatusOr<QuantSpec> preset = FindPreset(argc > 2 ? argv[2] : "2d-2.125bpv");
  if (shape == nullptr || !preset.ok() || preset->method != QuantMethod::kGptvq) {
    std::fprintf(stderr, "usage: %s [llama-2-70b|llama-3-8b|tiny [VECTOR_PRESET [PASSES [STEPS [ROW_UNIT]]]]]\n",
                 argv[0]);
    std::exit(2);
  }
  LayerArguments arguments = {.shape = *shape, .spec = *preset};
  if (argc > 3) arguments.spec.refinement_passes = std::atoi(argv[3]);
  if (argc > 4) arguments.spec.update_iterations = std::atoi(argv[4]);
  if (argc > 5) arguments.row_unit = std::atoll(argv[5]);
  Check(arguments.spec.Validate(), argv[0]);
  std::printf("%s, %s, %d passes of refinement, %d steps of an update\n", shape->name.c_str(),
              argc > 2 ? argv[2] : "2d-2.125bpv", arguments.spec.refinement_passes, arguments.spec.update_iterations);
  return arguments;
}

WholeLayer QuantizeWholeLayer(Backend& backend, const ModelShape& shape, const QuantSpec& spec) {
  const SteadyClock clock;
  WholeLayer layer;
  Sha256 sha;
  std::printf("%-52s %9s %9s %9s %9s %9s %9s %9s\n", "quantize, s", "factor", "EM", "sweep", "updates", "refine", "all",
              "error");
  std::uint64_t stream = 60;
  for (const LinearOfShape& linear : LinearsOf(shape)) {
    Hessian hessian = MakeHessian(backend, linear.cols, stream++);
    const double start = clock.NowSeconds();
    const PreparedHessian prepared = PreparedHessian::Make(backend, std::move(hessian), spec, &clock).value();
    // k and v, up and gate, o and q would share it: counted as often as a layer factorises.
    const bool reads_new_input = linear.name != "k, v";
    if (reads_new_input) layer.seconds += clock.NowSeconds() - start;
    for (int i = 0; i < static_cast<int>(linear.count); ++i) {
      const std::vector<float> weights = WeightsOf(backend, linear, stream++);
      const double begin = clock.NowSeconds();
      const auto result =
          QuantizeLinear(backend, linear.name, {weights.data(), linear.rows, linear.cols}, prepared, spec, 1, &clock);
      Check(result.status(), linear.name);
      layer.seconds += clock.NowSeconds() - begin;
      const std::vector<float> dequantized = result->Dequantized();
      sha.Update(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(dequantized.data()),
                                     dequantized.size() * sizeof(float)));
      const LinearReport& report = result->report;
      layer.bits +=
          report.bits.bits_per_value() * static_cast<double>(linear.rows * linear.cols) / shape.layer_weights();
      if (!(report.relative_error > 0 && report.relative_error < 1)) {
        Check(absl::InternalError("its relative error is no number between 0 and 1"), linear.name);
      }
      std::printf("%-52s %9.2f %9.2f %9.2f %9.2f %9.2f %9.2f %9.5f\n", linear.name.c_str(), prepared.factor_seconds(),
                  report.seconds.clustering, report.seconds.sweep, report.seconds.update, report.seconds.refinement,
                  clock.NowSeconds() - begin, report.relative_error);
      std::fflush(stdout);
    }
  }
  layer.digest = sha.Finish();
  return layer;
}

}  // namespace gptvq

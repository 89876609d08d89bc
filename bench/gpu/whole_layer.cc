#include "bench/gpu/whole_layer.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "core/backend/device_matrix.h"
#include "core/backend/team.h"
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

// The linears of one input.
struct SharedInput {
  std::string name;
  std::vector<std::int64_t> rows;
};

void AddToDigest(const LinearResult& result, Sha256& sha) {
  const std::vector<float> dequantized = result.Dequantized();
  sha.Update(
      absl::MakeConstSpan(reinterpret_cast<const std::byte*>(dequantized.data()), dequantized.size() * sizeof(float)));
}

// What is quantized of one input, in device memory.
struct SharedWork {
  const PreparedHessian& hessian;
  const std::vector<DeviceMatrix<float>>& weights;
  const QuantSpec& spec;
};

// The linear of number `i`, by any backend of the device.
absl::StatusOr<LinearResult> QuantizeShared(Backend& backend, const SharedWork& work, std::size_t i) {
  const MatrixView<const float> weights = work.weights[i].view();
  const auto copy_rows = [&](int, std::int64_t first_row, MatrixView<float> rows_out) {
    return backend.CopyInside(weights.Rows(first_row, rows_out.rows), rows_out);
  };
  DeviceMatrix<std::uint8_t> assignments;
  auto result = QuantizeLinear(Team(backend), "linear", {weights.rows, weights.cols, copy_rows},
                               absl::MakeConstSpan(&work.hessian, 1), work.spec, 1 + i, nullptr, assignments);
  Check(backend.Synchronize(), "linears of one input");
  return result;
}

// By backends[i] for linear i, at the same time.
std::vector<absl::StatusOr<LinearResult>> QuantizeAtOnce(absl::Span<Backend* const> backends, const SharedWork& work) {
  std::vector<absl::StatusOr<LinearResult>> results(work.weights.size(), absl::UnknownError("not done"));
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] { results[i] = QuantizeShared(*backends[i], work, i); });
  }
  threads.clear();
  return results;
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
      AddToDigest(*result, sha);
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

LinearsOfInputs QuantizeSideBySide(Backend& lead, absl::Span<Backend* const> auxiliary, const ModelShape& shape,
                                   const QuantSpec& spec) {
  const SharedInput inputs[] = {{"q, k and v", {shape.queries(), shape.key_values(), shape.key_values()}},
                                {"gate and up", {shape.feed_forward, shape.feed_forward}}};
  const SteadyClock clock;
  std::vector<Backend*> backends = {&lead};
  backends.insert(backends.end(), auxiliary.begin(), auxiliary.end());
  LinearsOfInputs all;
  std::printf("%-52s %9s %9s %9s\n", "linears of one input, s", "in turn", "at once", "ratio");
  std::uint64_t stream = 90;
  for (const SharedInput& input : inputs) {
    const PreparedHessian hessian =
        PreparedHessian::Make(lead, MakeHessian(lead, shape.hidden, stream++), spec, &clock).value();
    std::vector<DeviceMatrix<float>> weights;
    for (std::int64_t rows : input.rows) weights.push_back(GpuNormals(lead, rows, shape.hidden, stream++, 0.02));
    const SharedWork work = {hessian, weights, spec};
    Check(lead.Synchronize(), input.name);
    // Not timed: makes the library handles of backends that did nothing yet.
    if (&input == std::begin(inputs)) (void)QuantizeAtOnce(backends, work);

    Sha256 in_turn, at_once;
    const double begin = clock.NowSeconds();
    std::vector<absl::StatusOr<LinearResult>> results;
    for (std::size_t i = 0; i < weights.size(); ++i) results.push_back(QuantizeShared(lead, work, i));
    const double in_turn_seconds = clock.NowSeconds() - begin;
    for (const absl::StatusOr<LinearResult>& result : results) {
      Check(result.status(), input.name);
      AddToDigest(*result, in_turn);
    }
    const double begin_at_once = clock.NowSeconds();
    results = QuantizeAtOnce(backends, work);
    const double at_once_seconds = clock.NowSeconds() - begin_at_once;
    for (const absl::StatusOr<LinearResult>& result : results) {
      Check(result.status(), input.name);
      AddToDigest(*result, at_once);
    }
    if (in_turn.Finish() != at_once.Finish()) Check(absl::InternalError("other bytes side by side"), input.name);
    std::printf("%-52s %9.2f %9.2f %9.2f\n", input.name.c_str(), in_turn_seconds, at_once_seconds,
                at_once_seconds / in_turn_seconds);
    std::fflush(stdout);
    all.in_turn_seconds += in_turn_seconds;
    all.side_by_side_seconds += at_once_seconds;
  }
  return all;
}

}  // namespace gptvq

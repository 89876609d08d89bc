// Quality of the recipe at equal bits: relative error of every preset named, on the Hessian it was made with and on a
// held-out one, against `--compat reference`.
//
//   quant_quality [--threads N] [--dir DIR] [--passes N] [--steps N] [--damping F] PRESET...
//
// A PRESET with /ref behind it: --compat reference. --passes, --steps (of an update) and --damping change all presets but those.
// /svd=F and /group=N behind it: --svd-rank-fraction and --group-weights.
//
// DIR holds real layers as raw little-endian f32: for each linear NAME the files NAME.w (R x C), NAME.h (C x C, the
// calibration Hessian) and NAME.held (C x C, a Hessian of other text). Without DIR two synthetic linears are made.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend/backend.h"
#include "core/base/monotonic_clock.h"
#include "core/base/philox.h"
#include "core/cpu/cpu_backend.h"
#include "core/quant/hessian.h"
#include "core/quant/prepared_hessian.h"
#include "core/quant/quantize_linear.h"
#include "core/spec/presets.h"

namespace gptvq {
namespace {

struct Layer {
  std::string name;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<float> weights;
  std::vector<float> hessian;
  std::vector<float> held_out;
};

class SteadyClock final : public MonotonicClock {
 public:
  double NowSeconds() const override {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
};

double Normal(const Philox& philox, std::uint64_t n) {
  const double radius = std::sqrt(-2 * std::log(1 - philox.Uniform(2 * n)));
  return radius * std::cos(2 * 3.14159265358979323846 * philox.Uniform(2 * n + 1));
}

// H of `tokens` inputs x = z S with a decaying spectrum of mixed directions and a few loud columns.
std::vector<float> SyntheticHessian(std::int64_t cols, std::int64_t tokens, std::uint64_t model_seed,
                                    std::uint64_t token_seed) {
  const Philox model(model_seed, Philox::StreamOf("mixing"));
  const Philox draws(token_seed, Philox::StreamOf("tokens"));
  const std::int64_t rank = cols / 4;
  std::vector<double> mixing(static_cast<std::size_t>(cols * rank + cols));
  for (std::size_t i = 0; i < mixing.size(); ++i) mixing[i] = Normal(model, i);
  std::vector<float> inputs(static_cast<std::size_t>(tokens * cols));
  std::vector<double> latent(static_cast<std::size_t>(rank));
  std::uint64_t n = 0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (double& z : latent) z = Normal(draws, n++);
    for (std::int64_t c = 0; c < cols; ++c) {
      double x = 0.3 * Normal(draws, n++);
      for (std::int64_t k = c % 7; k < rank; k += 7) {
        x += latent[k] * mixing[c * rank + k] / std::sqrt(1.0 + static_cast<double>(k));
      }
      const double loudness = std::exp(0.7 * mixing[cols * rank + c]) * (c % 97 == 5 ? 20 : 1);
      inputs[t * cols + c] = static_cast<float>(x * loudness);
    }
  }
  std::vector<float> h(static_cast<std::size_t>(cols * cols), 0);
  for (std::int64_t t = 0; t < tokens; ++t) {
    const float* x = &inputs[t * cols];
    for (std::int64_t i = 0; i < cols; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) h[i * cols + j] += x[i] * x[j];
    }
  }
  return h;
}

Layer SyntheticLayer(std::int64_t rows, std::int64_t cols) {
  Layer layer;
  layer.name = "synthetic." + std::to_string(rows) + "x" + std::to_string(cols);
  layer.rows = rows;
  layer.cols = cols;
  const Philox draws(7, Philox::StreamOf("weights"));
  layer.weights.resize(static_cast<std::size_t>(rows * cols));
  for (std::size_t i = 0; i < layer.weights.size(); ++i) layer.weights[i] = static_cast<float>(0.02 * Normal(draws, i));
  layer.hessian = SyntheticHessian(cols, 4 * cols, 11, 1);
  layer.held_out = SyntheticHessian(cols, 4 * cols, 11, 2);
  return layer;
}

std::vector<float> ReadFloats(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<float> values(std::filesystem::file_size(path) / sizeof(float));
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  return values;
}

std::vector<Layer> ReadLayers(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".w") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  std::vector<Layer> layers;
  for (const std::string& name : names) {
    Layer layer;
    layer.name = name;
    layer.weights = ReadFloats(directory / (name + ".w"));
    layer.hessian = ReadFloats(directory / (name + ".h"));
    layer.held_out = ReadFloats(directory / (name + ".held"));
    layer.cols = std::llround(std::sqrt(static_cast<double>(layer.hessian.size())));
    layer.rows = static_cast<std::int64_t>(layer.weights.size()) / layer.cols;
    layers.push_back(std::move(layer));
  }
  return layers;
}

// tr(A H A^T).
double Loss(const std::vector<float>& a, const std::vector<float>& h, std::int64_t cols) {
  std::vector<float> product(static_cast<std::size_t>(cols));
  double loss = 0;
  for (std::size_t r = 0; r < a.size() / cols; ++r) {
    std::fill(product.begin(), product.end(), 0.0f);
    for (std::int64_t i = 0; i < cols; ++i) {
      const float factor = a[r * cols + i];
      for (std::int64_t j = 0; j < cols; ++j) product[j] += factor * h[i * cols + j];
    }
    for (std::int64_t j = 0; j < cols; ++j) loss += static_cast<double>(product[j]) * a[r * cols + j];
  }
  return loss;
}

struct Score {
  double bits = 0;
  double relative_error = 0;
  double held_out_error = 0;
  PhaseSeconds seconds;
};

std::optional<Score> Quantize(Backend& backend, const Layer& layer, const QuantSpec& spec) {
  const SteadyClock clock;
  absl::StatusOr<Hessian> hessian =
      HessianFromHost(backend, MatrixView<const float>(layer.hessian.data(), layer.cols, layer.cols));
  if (!hessian.ok()) return std::nullopt;
  absl::StatusOr<PreparedHessian> prepared = PreparedHessian::Make(backend, std::move(hessian).value(), spec, &clock);
  if (!prepared.ok()) return std::nullopt;
  const MatrixView<const float> weights(layer.weights.data(), layer.rows, layer.cols);
  absl::StatusOr<LinearResult> result = QuantizeLinear(backend, layer.name, weights, *prepared, spec, 1, &clock);
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", std::string(result.status().message()).c_str());
    return std::nullopt;
  }
  std::vector<float> error = layer.weights;
  const std::vector<float> dequantized = result->Dequantized();
  for (std::size_t i = 0; i < error.size(); ++i) error[i] -= dequantized[i];
  Score score;
  score.bits = result->report.bits.bits_per_value();
  score.relative_error = result->report.relative_error;
  score.held_out_error = Loss(error, layer.held_out, layer.cols) / Loss(layer.weights, layer.held_out, layer.cols);
  score.seconds = result->report.seconds;
  score.seconds.factor = prepared->factor_seconds();
  const LinearReport& report = result->report;
  std::printf("  %-24s %7.4f bits  sweep %.5f  final %.5f  held out %.5f  em %lld  cg %lld  passes %d  %.2f s\n",
              layer.name.c_str(), score.bits, report.sweep_relative_error, score.relative_error, score.held_out_error,
              static_cast<long long>(report.em_iterations), static_cast<long long>(report.update_iterations),
              report.refinement_passes, score.seconds.total());
  return score;
}

struct Arguments {
  int threads = 1;
  std::vector<Layer> layers;
  std::vector<std::string> presets;
  std::optional<int> passes;
  std::optional<int> steps;
  std::optional<double> damping;
};

Arguments ParseArguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool is_flag = argument.starts_with("--") && i + 1 < argc;
    if (is_flag && argument == "--threads") {
      arguments.threads = std::atoi(argv[++i]);
    } else if (is_flag && argument == "--dir") {
      arguments.layers = ReadLayers(argv[++i]);
    } else if (is_flag && argument == "--passes") {
      arguments.passes = std::atoi(argv[++i]);
    } else if (is_flag && argument == "--steps") {
      arguments.steps = std::atoi(argv[++i]);
    } else if (is_flag && argument == "--damping") {
      arguments.damping = std::atof(argv[++i]);
    } else {
      arguments.presets.emplace_back(argument);
    }
  }
  if (arguments.layers.empty()) arguments.layers = {SyntheticLayer(512, 512), SyntheticLayer(256, 896)};
  return arguments;
}

// The number behind "/KEY=" in `text`.
std::optional<double> NumberBehind(const std::string& text, const std::string& key) {
  const std::size_t at = text.find("/" + key + "=");
  if (at == std::string::npos) return std::nullopt;
  return std::atof(text.c_str() + at + key.size() + 2);
}

absl::StatusOr<QuantSpec> SpecOf(const std::string& preset, const Arguments& arguments) {
  absl::StatusOr<QuantSpec> spec = FindPreset(preset.substr(0, preset.find('/')));
  if (!spec.ok()) return spec;
  spec->svd_rank_fraction = NumberBehind(preset, "svd").value_or(0);
  spec->group_weights = std::llround(NumberBehind(preset, "group").value_or(spec->group_weights));
  if (preset.ends_with("/ref")) {
    spec->compatibility = Compatibility::kReference;
    spec->damping = kReferenceDamping;
  } else {
    spec->refinement_passes = arguments.passes.value_or(spec->refinement_passes);
    spec->update_iterations = arguments.steps.value_or(spec->update_iterations);
    spec->damping = arguments.damping.value_or(spec->damping);
  }
  return spec;
}

int Main(int argc, char** argv) {
  const Arguments arguments = ParseArguments(argc, argv);
  const std::vector<Layer>& layers = arguments.layers;
  const std::unique_ptr<Backend> backend = MakeCpuBackend({.thread_count = arguments.threads});
  for (const std::string& preset : arguments.presets) {
    const absl::StatusOr<QuantSpec> spec = SpecOf(preset, arguments);
    if (!spec.ok()) {
      std::fprintf(stderr, "%s\n", std::string(spec.status().message()).c_str());
      return 2;
    }
    std::printf("%s\n", preset.c_str());
    Score mean;
    for (const Layer& layer : layers) {
      const std::optional<Score> score = Quantize(*backend, layer, *spec);
      if (!score.has_value()) return 1;
      const double share = 1.0 / static_cast<double>(layers.size());
      mean.bits += share * score->bits;
      mean.relative_error += share * score->relative_error;
      mean.held_out_error += share * score->held_out_error;
      mean.seconds.factor += score->seconds.factor;
      mean.seconds.clustering += score->seconds.clustering;
      mean.seconds.sweep += score->seconds.sweep;
      mean.seconds.update += score->seconds.update;
      mean.seconds.refinement += score->seconds.refinement;
    }
    std::printf(
        "%s: mean %.4f bits  error %.5f  held out %.5f  | factor %.1f em %.1f sweep %.1f update %.1f refine %.1f s\n",
        preset.c_str(), mean.bits, mean.relative_error, mean.held_out_error, mean.seconds.factor,
        mean.seconds.clustering, mean.seconds.sweep, mean.seconds.update, mean.seconds.refinement);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) { return gptvq::Main(argc, argv); }

// PackedMatrix: products straight from the packed form. With one token the packed bytes are the work, so several matrices that
// together pass the caches are walked through; with many tokens the multiplications are.
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/bench_support.h"
#include "core/decode/packed_matrix.h"
#include "core/format/packed_linear.h"
#include "core/spec/presets.h"
#include "tests/core/format/random_linear.h"

namespace gptvq {
namespace {

constexpr std::int64_t kSide = 4096;
constexpr double kWalkBytes = 96e6;

PackedMatrix MakeMatrix(const QuantSpec& spec, std::uint64_t seed) {
  const QuantizedLinear linear = RandomLinear(seed, kSide, kSide, spec);
  const PackedModule module = ModuleOf("m", linear, spec);
  PackedMatrix matrix = *PackedMatrix::Make(module, *PackLinear(module, linear));
  if (seed != 0) return matrix;
  std::vector<float> expected(kSide * kSide), decoded(kSide);
  Dequantize(linear, MatrixView<float>(expected.data(), kSide, kSide));
  matrix.DecodeRows(77, MatrixView<float>(decoded.data(), 1, kSide));
  for (std::int64_t c = 0; c < kSide; ++c) {
    CheckResult(std::fabs(decoded[c] - expected[77 * kSide + c]) <= 1e-6f, "decoded row");
  }
  return matrix;
}

void MeasurePreset(Bench& bench, WorkerPool& pool, const std::string& preset) {
  const QuantSpec spec = *FindPreset(preset);
  std::vector<PackedMatrix> matrices;
  double bytes = 0;
  while (bytes < kWalkBytes) {
    matrices.push_back(MakeMatrix(spec, matrices.size()));
    bytes += static_cast<double>(matrices.back().packed_bytes());
  }
  const std::vector<float> x = BenchNormals(16 * kSide, 1);
  std::vector<float> y(16 * kSide);
  const double weights = static_cast<double>(kSide * kSide);
  bench.Measure(absl::StrCat("MultiplyVector ", preset), {2 * weights * static_cast<double>(matrices.size()), bytes},
                Roof::kTriad, [&] {
                  for (const PackedMatrix& matrix : matrices) {
                    matrix.MultiplyVector({x.data(), kSide}, {y.data(), kSide}, pool);
                  }
                });
  bench.Measure(absl::StrCat("Multiply 16 tokens ", preset),
                {32 * weights, static_cast<double>(matrices[0].packed_bytes())}, Roof::kFma, [&] {
                  matrices[0].Multiply(MatrixView<const float>(x.data(), 16, kSide),
                                       MatrixView<float>(y.data(), 16, kSide), pool);
                });
}

}  // namespace
}  // namespace gptvq

int main(int argc, char** argv) {
  gptvq::Bench bench("decode", argc, argv);
  gptvq::WorkerPool pool(bench.thread_count());
  for (const char* preset : {"1d-2.125bpv", "1d-3.125bpv", "2d-2.125bpv", "2d-3.125bpv", "2d-3.125bpv-s64",
                             "2d-4.125bpv", "4d-2.125bpv", "2d-3.125bpv-fp16", "rtn-3bit-g128"}) {
    gptvq::MeasurePreset(bench, pool, preset);
  }
}

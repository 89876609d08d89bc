#include "bench/bench_support.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "bench/roofs.h"
#include "core/base/philox.h"
#include "core/base/worker_pool.h"
#include "core/cpu/cpu_backend.h"

namespace gptvq {
namespace {

constexpr double kMinimumSeconds = 0.5;
constexpr std::size_t kMinimumRounds = 5;

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

}  // namespace

Bench::Bench(const std::string& name, int argc, char** argv) {
  const int processors = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  thread_count_ = argc > 1 ? std::max(1, std::atoi(argv[1])) : processors;
  backend_ = MakeCpuBackend({.thread_count = thread_count_});
  WorkerPool pool(thread_count_);
  roofs_ = MeasureRoofs(pool);
  std::printf(
      "%s: %s, %d threads. Roofs: FMA %.0f GFLOP/s, sgemm %.0f GFLOP/s, triad %.1f GB/s, cached triad %.0f GB/s\n",
      name.c_str(), backend_->numerics_class().c_str(), thread_count_, roofs_.fma_gflops, roofs_.sgemm_gflops,
      roofs_.triad_gbs, roofs_.cached_gbs);
  std::printf("%-46s %10s %10s %9s %9s %9s %8s  %s\n", "case", "Mflop", "MB", "wall ms", "cpu ms", "GFLOP/s", "GB/s",
              "of roof");
}

void Bench::Measure(const std::string& label, const Work& work, Roof roof, absl::FunctionRef<void()> body) {
  body();
  std::vector<double> wall, processor;
  double total = 0;
  while (total < kMinimumSeconds || wall.size() < kMinimumRounds) {
    const Elapsed elapsed = Time(body);
    wall.push_back(elapsed.wall_seconds);
    processor.push_back(elapsed.processor_seconds / thread_count_);
    total += wall.back();
  }
  const double median = Median(processor);
  const double gflops = work.flops / median * 1e-9;
  const double gbs = work.bytes / median * 1e-9;
  double share = 0;
  const char* roof_name = "";
  switch (roof) {
    case Roof::kFma: share = gflops / roofs_.fma_gflops, roof_name = "FMA"; break;
    case Roof::kSgemm: share = gflops / roofs_.sgemm_gflops, roof_name = "sgemm"; break;
    case Roof::kTriad: share = gbs / roofs_.triad_gbs, roof_name = "triad"; break;
    case Roof::kCached: share = gbs / roofs_.cached_gbs, roof_name = "cached triad"; break;
  }
  std::printf("%-46s %10.2f %10.3f %9.4f %9.4f %9.1f %8.1f  %3.0f %% of %s\n", label.c_str(), work.flops * 1e-6,
              work.bytes * 1e-6, Median(wall) * 1e3, median * 1e3, gflops, gbs, 100 * share, roof_name);
  std::fflush(stdout);
}

std::vector<float> BenchNormals(std::int64_t count, std::uint64_t stream, double deviation) {
  const Philox random(1, stream);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {  // Box and Muller 1958
    const double radius = std::sqrt(-2 * std::log(1 - random.Uniform(static_cast<std::uint64_t>(2 * i))));
    const double angle = 6.283185307179586 * random.Uniform(static_cast<std::uint64_t>(2 * i + 1));
    values[i] = static_cast<float>(deviation * radius * std::cos(angle));
  }
  return values;
}

DeviceMatrix<float> BenchMatrix(Backend& backend, std::int64_t rows, std::int64_t cols, std::uint64_t stream,
                                double deviation) {
  const std::vector<float> values = BenchNormals(rows * cols, stream, deviation);
  auto matrix = DeviceMatrix<float>::FromHost(backend, values.data(), rows, cols);
  CheckResult(matrix.ok(), "allocation");
  return std::move(matrix).value();
}

void CheckResult(bool correct, const std::string& what) {
  if (correct) return;
  std::fprintf(stderr, "wrong result, not timed: %s\n", what.c_str());
  std::exit(1);
}

}  // namespace gptvq

#ifndef GPTVQ_BENCH_BENCH_SUPPORT_H_
#define GPTVQ_BENCH_BENCH_SUPPORT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"

namespace gptvq {

// What this machine can do with the threads of the run, measured in the same process as the primitive.
struct Roofs {
  double fma_gflops = 0;    // fused multiply-adds on registers, 2 operations each
  double sgemm_gflops = 0;  // products of 1024 x 1024 blocks by BLAS, one call a thread
  double triad_gbs = 0;     // a = b + s c over arrays far larger than the caches
  double cached_gbs = 0;    // the same over arrays that stay in the second cache
};

// What a primitive has to do, counted from its shape: not what an implementation happens to do.
struct Work {
  double flops = 0;
  double bytes = 0;  // read and written once
};

enum class Roof { kFma, kSgemm, kTriad, kCached };

// One benchmark program: owns a CPU backend; prints a header once and a row per measurement.
class Bench {
 public:
  // Usage: PROGRAM [THREADS]; default: all processors.
  Bench(const std::string& name, int argc, char** argv);

  Backend& backend() { return *backend_; }
  int thread_count() const { return thread_count_; }

  // Runs `body` until warm, then repeatedly for at least half a second, and prints the medians of wall time and of processor time
  // per thread, rates by the latter, and the share of `roof`: for kFma and kSgemm by operations, for the others by bytes. Processor
  // time, because benchmarks also run on machines that are shared; idle threads are seen by comparing it with wall time.
  void Measure(const std::string& label, const Work& work, Roof roof, absl::FunctionRef<void()> body);

 private:
  int thread_count_ = 1;
  std::unique_ptr<Backend> backend_;
  Roofs roofs_;
};

// Normal random numbers, the same in every run.
std::vector<float> BenchNormals(std::int64_t count, std::uint64_t stream, double deviation = 1.0);
DeviceMatrix<float> BenchMatrix(Backend& backend, std::int64_t rows, std::int64_t cols, std::uint64_t stream,
                                double deviation = 1.0);

// Ends the program with the message unless the check holds: a wrong result is not worth timing.
void CheckResult(bool correct, const std::string& what);

}  // namespace gptvq

#endif  // GPTVQ_BENCH_BENCH_SUPPORT_H_

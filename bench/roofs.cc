#include "bench/roofs.h"

#include <cblas.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/roofs.cc"
#include "hwy/foreach_target.h"  // must come before highway.h

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace gptvq {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Returns the operations done; the sum keeps the compiler from leaving them out.
double RunFma(std::int64_t rounds, float* sum_out) {
  const hn::ScalableTag<float> d;
  constexpr int kChains = 12;  // latency of 4 or 5 cycles times two units
  hn::Vec<decltype(d)> chains[kChains];
  for (int i = 0; i < kChains; ++i) chains[i] = hn::Set(d, 1.0f + static_cast<float>(i));
  const auto factor = hn::Set(d, 0.999f);
  const auto addend = hn::Set(d, 0.001f);
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < kChains; ++i) chains[i] = hn::MulAdd(chains[i], factor, addend);
  }
  for (int i = 1; i < kChains; ++i) chains[0] = hn::Add(chains[0], chains[i]);
  *sum_out = hn::GetLane(chains[0]);
  return 2.0 * static_cast<double>(rounds) * kChains * static_cast<double>(hn::Lanes(d));
}

void RunTriad(const float* b, const float* c, float* a, std::int64_t count) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 3.0f);
  for (std::int64_t i = 0; i < count; i += static_cast<std::int64_t>(hn::Lanes(d))) {
    hn::StoreU(hn::MulAdd(factor, hn::LoadU(d, c + i), hn::LoadU(d, b + i)), d, a + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace gptvq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace gptvq {
namespace {

HWY_EXPORT(RunFma);
HWY_EXPORT(RunTriad);

double BestSeconds(int thread_count, absl::FunctionRef<void()> body) {
  double best = 1e30;
  for (int round = 0; round < 5; ++round) best = std::min(best, Time(body).processor_seconds / thread_count);
  return best;
}

double FmaGflops(WorkerPool& pool) {
  std::vector<float> sums(static_cast<std::size_t>(pool.thread_count()) * 64);
  std::vector<double> flops(static_cast<std::size_t>(pool.thread_count()));
  const double seconds = BestSeconds(pool.thread_count(), [&] {
    pool.ParallelFor(pool.thread_count(),
                     [&](std::int64_t i) { flops[i] = HWY_DYNAMIC_DISPATCH(RunFma)(2'000'000, &sums[i * 64]); });
  });
  double total = 0;
  for (double f : flops) total += f;
  return total / seconds * 1e-9;
}

double SgemmGflops(WorkerPool& pool) {
  constexpr int kOrder = 1024;
  const std::vector<float> a(kOrder * kOrder, 1.5f), b(kOrder * kOrder, 0.5f);
  std::vector<std::vector<float>> c(static_cast<std::size_t>(pool.thread_count()), std::vector<float>(kOrder * kOrder));
  const double seconds = BestSeconds(pool.thread_count(), [&] {
    pool.ParallelFor(pool.thread_count(), [&](std::int64_t i) {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, kOrder, kOrder, kOrder, 1.0f, a.data(), kOrder, b.data(),
                  kOrder, 0.0f, c[i].data(), kOrder);
    });
  });
  return 2.0 * kOrder * kOrder * kOrder * pool.thread_count() / seconds * 1e-9;
}

// `floats` per array and thread; three arrays.
double TriadGbs(WorkerPool& pool, std::int64_t floats, std::int64_t repeats) {
  std::vector<std::vector<float>> arrays(static_cast<std::size_t>(pool.thread_count()) * 3);
  for (auto& array : arrays) array.assign(static_cast<std::size_t>(floats), 1.0f);
  const double seconds = BestSeconds(pool.thread_count(), [&] {
    pool.ParallelFor(pool.thread_count(), [&](std::int64_t i) {
      for (std::int64_t r = 0; r < repeats; ++r) {
        HWY_DYNAMIC_DISPATCH(RunTriad)
        (arrays[i * 3].data(), arrays[i * 3 + 1].data(), arrays[i * 3 + 2].data(), floats);
      }
    });
  });
  return 12.0 * static_cast<double>(floats * repeats * pool.thread_count()) / seconds * 1e-9;
}

}  // namespace

Elapsed Time(absl::FunctionRef<void()> body) {
  const auto wall_begin = std::chrono::steady_clock::now();
  const std::clock_t processor_begin = std::clock();
  body();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - wall_begin).count(),
          static_cast<double>(std::clock() - processor_begin) / CLOCKS_PER_SEC};
}

Roofs MeasureRoofs(WorkerPool& pool) {
  Roofs roofs;
  roofs.fma_gflops = FmaGflops(pool);
  roofs.sgemm_gflops = SgemmGflops(pool);
  roofs.triad_gbs = TriadGbs(pool, std::int64_t{1} << 24, 1);
  roofs.cached_gbs = TriadGbs(pool, std::int64_t{1} << 14, 1000);
  return roofs;
}

}  // namespace gptvq
#endif  // HWY_ONCE

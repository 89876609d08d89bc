// Where EM starts. Mahalanobis: the mean and the scatter matrix of a group in f64, one thread block a group,
// then the squared distance of every vector as a sortable key (a distance is not negative, so its bits are
// ordered as it is), a stable radix sort of every group (CUB), and the vectors at equal rank distances.
// D-squared: K draws one after the other, each over running sums in f64, one thread block a group.
// Bytes: 4 D a vector and pass; a small part of the time of EM itself.
// Determinism: sums run in an order fixed by the size of the group.
// Limits: D in {1, 2, 4}.
#include <algorithm>

#include <cub/device/device_segmented_radix_sort.cuh>

#include "core/backend/code_formulas.h"
#include "core/cuda/cuda_status.h"
#include "core/cuda/device_math.cuh"
#include "core/cuda/em_kernels.h"
#include "core/cuda/vector_dim.h"

namespace gptvq::cuda {
namespace {

constexpr int kMaxThreads = 512;

template <int D>
struct Moments {
  double mean[D];
  double factor[D][D];
};

template <int D>
__device__ Moments<D> MomentsOf(const StripeVectors& vectors, std::int64_t begin, std::int64_t end,
                                double regularisation, double* scratch) {
  Moments<D> moments;
#pragma unroll
  for (int j = 0; j < D; ++j) {
    double sum = 0;
    for (std::int64_t n = begin + threadIdx.x; n < end; n += blockDim.x) sum += vectors.x[j * vectors.count + n];
    moments.mean[j] = BlockSum(sum, scratch) / static_cast<double>(end - begin);
  }
#pragma unroll
  for (int i = 0; i < D; ++i) {
#pragma unroll
    for (int j = 0; j < D; ++j) {
      double sum = 0;
      for (std::int64_t n = begin + threadIdx.x; n < end && j <= i; n += blockDim.x) {
        sum +=
            (vectors.x[i * vectors.count + n] - moments.mean[i]) * (vectors.x[j * vectors.count + n] - moments.mean[j]);
      }
      moments.factor[i][j] = j <= i ? BlockSum(sum, scratch) : 0.0;
    }
  }
  FactorScatter<D>(regularisation, moments.factor);
  return moments;
}

template <int D>
__global__ __launch_bounds__(kMaxThreads) void MahalanobisKeysKernel(const SeedingArguments in) {
  __shared__ double scratch[32];
  for (std::int64_t group = blockIdx.x; group < in.vectors.group_count; group += gridDim.x) {
    const std::int64_t begin = in.vectors.Begin(group), end = in.vectors.Begin(group + 1);
    const Moments<D> moments = MomentsOf<D>(in.vectors, begin, end, in.regularisation, scratch);
    for (std::int64_t n = begin + threadIdx.x; n < end; n += blockDim.x) {
      float x[D];
#pragma unroll
      for (int j = 0; j < D; ++j) x[j] = in.vectors.x[j * in.vectors.count + n];
      in.keys[n] = __float_as_uint(MahalanobisDistance<D>(x, moments.mean, moments.factor));
      in.numbers[n] = static_cast<std::uint32_t>(n - begin);
    }
    if (threadIdx.x == 0) {
      in.offsets[group] = begin;
      in.offsets[group + 1] = end;  // the next group writes the same
    }
  }
}

template <int D>
__global__ void TakeSeedsKernel(const SeedingArguments in, DeviceView<float> codebooks) {
  const std::int64_t k_count = codebooks.cols / D;
  for (std::int64_t group = blockIdx.x; group < in.vectors.group_count; group += gridDim.x) {
    const std::int64_t begin = in.vectors.Begin(group), count = in.vectors.Begin(group + 1) - begin;
    for (std::int64_t k = threadIdx.x; k < k_count; k += blockDim.x) {
      const std::int64_t n = begin + in.sorted_numbers[begin + SeedRank(k, k_count, count)];
#pragma unroll
      for (int j = 0; j < D; ++j) codebooks.at(group, k * D + j) = in.vectors.x[j * in.vectors.count + n];
    }
  }
}

// The first n of [0, count) at which the running sum of `mass` passes `fraction` of the whole; uniform when
// there is no mass. Thread t sums the t-th run of vectors; the runs' sums are added up one after the other. All
// threads get it.
__device__ std::int64_t DrawByMass(const float* mass, std::int64_t count, double fraction, double* run_begins) {
  __shared__ unsigned long long drawn, last_with_mass;
  const std::int64_t run = (count + blockDim.x - 1) / blockDim.x;
  const std::int64_t begin = min(threadIdx.x * run, count), end = min(begin + run, count);
  double sum = 0;
  for (std::int64_t n = begin; n < end; ++n) sum += mass[n];
  run_begins[threadIdx.x] = sum;
  if (threadIdx.x == 0) drawn = last_with_mass = 0;
  __syncthreads();
  if (threadIdx.x == 0) {
    double total = 0;
    for (unsigned t = 0; t < blockDim.x; ++t) {
      const double of_run = run_begins[t];
      run_begins[t] = total;
      total += of_run;
    }
    run_begins[blockDim.x] = total;
  }
  __syncthreads();
  const double total = run_begins[blockDim.x];
  const double wanted = fraction * total;
  // Exactly one run contains `wanted`; rounding may leave it just behind the run's last vector.
  if (run_begins[threadIdx.x] <= wanted && wanted < run_begins[threadIdx.x + 1]) {
    double running = run_begins[threadIdx.x];
    std::int64_t n = begin;
    for (; n + 1 < end && (running += mass[n]) <= wanted;) ++n;
    drawn = static_cast<unsigned long long>(n);
  }
  std::int64_t last = -1;
  for (std::int64_t n = begin; n < end; ++n) {
    if (mass[n] > 0) last = n;
  }
  if (last >= 0) atomicMax(&last_with_mass, static_cast<unsigned long long>(last));
  __syncthreads();
  const std::int64_t result = !(total > 0)     ? static_cast<std::int64_t>(fraction * static_cast<double>(count))
                              : wanted < total ? static_cast<std::int64_t>(drawn)
                                               : static_cast<std::int64_t>(last_with_mass);
  __syncthreads();
  return result;
}

template <int D>
__global__ __launch_bounds__(kMaxThreads) void DSquaredSeedsKernel(const DSquaredArguments in,
                                                                   DeviceView<float> codebooks) {
  __shared__ double run_begins[kMaxThreads + 1];
  const std::int64_t k_count = codebooks.cols / D;
  for (std::int64_t group = blockIdx.x; group < in.vectors.group_count; group += gridDim.x) {
    const std::int64_t begin = in.vectors.Begin(group), count = in.vectors.Begin(group + 1) - begin;
    const float* x = in.vectors.x + begin;
    const float* w = in.vectors.w + begin;
    float* nearest = in.nearest + begin;
    for (std::int64_t k = 0; k < k_count; ++k) {
      const double fraction = in.fractions[group * k_count + k];
      const std::int64_t chosen = k == 0 ? static_cast<std::int64_t>(fraction * static_cast<double>(count))
                                         : DrawByMass(nearest, count, fraction, run_begins);
      float center[D];
#pragma unroll
      for (int j = 0; j < D; ++j) center[j] = x[j * in.vectors.count + chosen];
      if (threadIdx.x == 0) {
        for (int j = 0; j < D; ++j) codebooks.at(group, k * D + j) = center[j];
      }
      for (std::int64_t n = threadIdx.x; n < count; n += blockDim.x) {
        float own_x[D], own_w[D];
#pragma unroll
        for (int j = 0; j < D; ++j) {
          own_x[j] = x[j * in.vectors.count + n];
          own_w[j] = w[j * in.vectors.count + n];
        }
        const float distance = WeightedDistance<D>(own_w, own_x, center);
        nearest[n] = k == 0 ? distance : fminf(nearest[n], distance);
      }
      __syncthreads();
    }
  }
}

}  // namespace

absl::Status LaunchMahalanobisKeys(const GroupPlan& plan, int vector_dim, const SeedingArguments& arguments,
                                   cudaStream_t stream) {
  return ForVectorDim("ClusterStripe", vector_dim, [&](auto dim) {
    MahalanobisKeysKernel<dim.value><<<plan.grid, plan.threads, 0, stream>>>(arguments);
    return LaunchStatus("MahalanobisKeysKernel");
  });
}

absl::Status SortGroups(const SeedingArguments& arguments, void* workspace, std::size_t& workspace_bytes,
                        cudaStream_t stream) {
  return CudaStatus(cub::DeviceSegmentedRadixSort::SortPairs(
                        workspace, workspace_bytes, arguments.keys, arguments.sorted_keys, arguments.numbers,
                        arguments.sorted_numbers, arguments.vectors.count, arguments.vectors.group_count,
                        arguments.offsets, arguments.offsets + 1, 0, 32, stream),
                    "sort of the Mahalanobis distances");
}

absl::Status LaunchTakeSeeds(int vector_dim, const SeedingArguments& arguments, DeviceView<float> codebooks_out,
                             cudaStream_t stream) {
  const auto grid = static_cast<unsigned>(std::min(arguments.vectors.group_count, kMaxGridX));
  return ForVectorDim("ClusterStripe", vector_dim, [&](auto dim) {
    TakeSeedsKernel<dim.value><<<grid, 64, 0, stream>>>(arguments, codebooks_out);
    return LaunchStatus("TakeSeedsKernel");
  });
}

absl::Status LaunchDSquaredSeeds(const GroupPlan& plan, int vector_dim, const DSquaredArguments& arguments,
                                 DeviceView<float> codebooks_out, cudaStream_t stream) {
  return ForVectorDim("ClusterStripe", vector_dim, [&](auto dim) {
    DSquaredSeedsKernel<dim.value><<<plan.grid, plan.threads, 0, stream>>>(arguments, codebooks_out);
    return LaunchStatus("DSquaredSeedsKernel");
  });
}

}  // namespace gptvq::cuda

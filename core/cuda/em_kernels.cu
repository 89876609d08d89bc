// Hessian-weighted EM, fused: argmin_k sum_j w_j (x_j - c_kj)^2, then c_kj = sum w_j x_j / sum w_j over the
// members.
//
// Thread block <-> group, thread <-> kVectors<D> vectors at a time, which stay in registers while it walks
// through the K centroids in shared memory (all threads read the same one: a broadcast). No distance matrix
// exists. Vectors are read from device memory once per iteration, 8 bytes a weight, and mostly hit the caches:
// a group of 65536 weights is 512 KiB.
// Work: 2 D fused multiply-adds and 3 other instructions per vector, centroid and iteration: bound by
// arithmetic from K = 16 on.
// Sums: f64, kept from iteration to iteration as on the CPU: a vector that changes its cell takes its terms
// along. Each of the first sum_copies warps keeps the sums of the vectors that it looks after; no atomics.
// Determinism: all sums run in an order fixed by the size of the group.
// Limits: D in {1, 2, 4}, K <= 256.
#include "core/cuda/cuda_status.h"
#include "core/cuda/em_kernels.h"
#include "core/cuda/group_sums.cuh"
#include "core/cuda/tile_launch.cuh"
#include "core/cuda/vector_dim.h"

namespace gptvq::cuda {
namespace {

constexpr int kMaxCells = 256;

template <int D>
constexpr int kVectors = D == 4 ? 4 : 8;  // mirrored by PlanCluster

// The shared memory of one group, sized by PlanCluster.
template <int D>
struct GroupMemory {
  float* centroids;   // [K, D]
  double* sums;       // [copies, K, D, 2]: weighted components, weights
  double* reduction;  // [32]
  int* sizes;         // [copies, K]
  int* empty;         // [256]: empty cells, ascending
  float* worst;       // [32]
  int* worst_at;      // [32]

  __device__ GroupMemory(double* shared, int copies, int k_count) {
    centroids = reinterpret_cast<float*>(shared);  // K is even, so what follows is aligned to 8 bytes
    sums = shared + k_count * D / 2;
    reduction = sums + copies * k_count * D * 2;
    sizes = reinterpret_cast<int*>(reduction + 32);
    empty = sizes + copies * k_count;
    worst = reinterpret_cast<float*>(empty + kMaxCells);
    worst_at = reinterpret_cast<int*>(worst + 32);
  }
};

// One group's vectors; n counts from 0 within the group.
template <int D>
struct GroupVectors {
  const float* x;
  const float* w;
  std::int64_t stride;
  int count;

  __device__ GroupVectors(const StripeVectors& vectors, std::int64_t group)
      : x(vectors.x + vectors.Begin(group)),
        w(vectors.w + vectors.Begin(group)),
        stride(vectors.count),
        count(static_cast<int>(vectors.Begin(group + 1) - vectors.Begin(group))) {}
  __device__ void Load(int n, float (&x_out)[D], float (&w_out)[D]) const {
#pragma unroll
    for (int j = 0; j < D; ++j) {
      x_out[j] = x[j * stride + n];
      w_out[j] = w[j * stride + n];
    }
  }
};

// E step.
template <int D>
__device__ void AssignVectors(const GroupVectors<D>& vectors, const float* centroids, int k_count,
                              std::uint8_t* __restrict__ assigned) {
  constexpr int V = kVectors<D>;
  const int threads = static_cast<int>(blockDim.x);
  for (int base = static_cast<int>(threadIdx.x); base < vectors.count; base += V * threads) {
    float w[V][D], slope[V][D], best[V];
    int best_k[V];
#pragma unroll
    for (int v = 0; v < V; ++v) {
      float x[D];
      vectors.Load(min(base + v * threads, vectors.count - 1), x, w[v]);
#pragma unroll
      for (int j = 0; j < D; ++j) slope[v][j] = -2.0f * w[v][j] * x[j];
      best[v] = INFINITY;
      best_k[v] = 0;
    }
    for (int k = 0; k < k_count; ++k) {
      const Vector<D> c = VectorAt<D>(centroids, k);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const float distance = EmDistance<D>(w[v], slope[v], c.at);
        if (distance < best[v]) best_k[v] = k;
        best[v] = fminf(distance, best[v]);
      }
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
      if (base + v * threads < vectors.count) assigned[base + v * threads] = static_cast<std::uint8_t>(best_k[v]);
    }
  }
}

// Vector n joins (sign 1) or leaves (sign -1) a cell of a warp's private sums.
template <int D>
__device__ void MoveVector(const float (&x)[D], const float (&w)[D], int cell, int sign, double* sums, int* sizes) {
#pragma unroll
  for (int j = 0; j < D; ++j) {
    const double weight = sign * static_cast<double>(w[j]);
    sums[(cell * D + j) * 2] += weight * x[j];
    sums[(cell * D + j) * 2 + 1] += weight;
  }
  sizes[cell] += sign;
}

// Takes over the vectors whose cell differs; with a null `before`, all of them. Returns whether any did, in any
// thread.
template <int D>
__device__ bool UpdateSums(const GroupVectors<D>& vectors, const std::uint8_t* before, const std::uint8_t* after,
                           int copies, int k_count, const GroupMemory<D>& memory) {
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  bool changed = false;
  if (warp < copies) {
    double* sums = memory.sums + warp * k_count * D * 2;
    int* sizes = memory.sizes + warp * k_count;
    for (int first = warp * 32; first < vectors.count; first += copies * 32) {
      const int n = first + lane;
      const bool inside = n < vectors.count;
      const int new_cell = inside ? after[n] : 0;
      const int old_cell = inside && before != nullptr ? before[n] : -1;
      const bool moves = inside && new_cell != old_cell;
      if (!__any_sync(kAllLanes, moves)) continue;
      changed = true;
      float x[D], w[D];
      vectors.Load(inside ? n : vectors.count - 1, x, w);
      if (before != nullptr) {
        AddInLaneOrder(moves, old_cell, [&] { MoveVector<D>(x, w, old_cell, -1, sums, sizes); });
      }
      AddInLaneOrder(moves, new_cell, [&] { MoveVector<D>(x, w, new_cell, 1, sums, sizes); });
    }
  }
  return __syncthreads_or(changed);
}

// M step: the weighted mean of every cell; the centroids of empty cells stay. Returns whether there are empty cells.
template <int D>
__device__ bool UpdateCentroids(int copies, int k_count, const GroupMemory<D>& memory) {
  bool empty = false;
  for (int e = threadIdx.x; e < k_count * D; e += blockDim.x) {
    double weighted = 0, weight = 0;
    int size = 0;
    for (int copy = 0; copy < copies; ++copy) {
      weighted += memory.sums[(copy * k_count * D + e) * 2];
      weight += memory.sums[(copy * k_count * D + e) * 2 + 1];
      size += memory.sizes[copy * k_count + e / D];
    }
    empty = empty || size == 0;
    if (size > 0 && weight > 0) memory.centroids[e] = static_cast<float>(weighted / weight);
  }
  return __syncthreads_or(empty);
}

// Writes the empty cells into memory.empty and returns their number. Few groups get here.
template <int D>
__device__ int ListEmptyCells(int copies, int k_count, const GroupMemory<D>& memory) {
  __shared__ int count;
  if (threadIdx.x == 0) {
    count = 0;
    for (int k = 0; k < k_count; ++k) {
      int size = 0;
      for (int copy = 0; copy < copies; ++copy) size += memory.sizes[copy * k_count + k];
      if (size == 0) memory.empty[count++] = k;
    }
  }
  __syncthreads();
  return count;
}

struct Worst {
  float distance;
  int n;
};
__device__ Worst Worse(Worst a, Worst b) {
  return b.distance > a.distance || (b.distance == a.distance && b.n < a.n) ? b : a;
}
__device__ Worst WarpWorst(Worst own) {
  for (int offset = 16; offset > 0; offset /= 2) {
    own = Worse(own, {__shfl_xor_sync(kAllLanes, own.distance, offset), __shfl_xor_sync(kAllLanes, own.n, offset)});
  }
  return own;
}

// The vector of the largest distance, the first on ties; every thread gets it.
template <int D>
__device__ Worst FindWorst(const float* distances, int count, const GroupMemory<D>& memory) {
  Worst own = {-1.0f, 0x7fffffff};
  for (int n = threadIdx.x; n < count; n += blockDim.x) own = Worse(own, {distances[n], n});
  own = WarpWorst(own);
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  if (lane == 0) {
    memory.worst[warp] = own.distance;
    memory.worst_at[warp] = own.n;
  }
  __syncthreads();
  own = lane < static_cast<int>(blockDim.x / 32) ? Worst{memory.worst[lane], memory.worst_at[lane]}
                                                 : Worst{-1.0f, 0x7fffffff};
  own = WarpWorst(own);
  __syncthreads();
  return own;
}

// Moves each empty cell's centroid onto the worst represented vector that no other one was moved to.
template <int D>
__device__ void ReseedCells(const GroupVectors<D>& vectors, const std::uint8_t* assigned, float* distances,
                            int empty_count, const GroupMemory<D>& memory) {
  for (int n = threadIdx.x; n < vectors.count; n += blockDim.x) {
    float x[D], w[D];
    vectors.Load(n, x, w);
    distances[n] = WeightedDistance<D>(w, x, memory.centroids + assigned[n] * D);
  }
  __syncthreads();
  for (int i = 0; i < empty_count; ++i) {
    const Worst worst = FindWorst<D>(distances, vectors.count, memory);
    if (!(worst.distance > 0)) return;  // every vector is represented exactly
    if (threadIdx.x == 0) {
      distances[worst.n] = 0;
      for (int j = 0; j < D; ++j) memory.centroids[memory.empty[i] * D + j] = vectors.x[j * vectors.stride + worst.n];
    }
    __syncthreads();
  }
}

template <int D>
__device__ double Objective(const GroupVectors<D>& vectors, const std::uint8_t* assigned,
                            const GroupMemory<D>& memory) {
  double sum = 0;
  for (int n = threadIdx.x; n < vectors.count; n += blockDim.x) {
    float x[D], w[D];
    vectors.Load(n, x, w);
#pragma unroll
    for (int j = 0; j < D; ++j) {
      const double difference = static_cast<double>(x[j]) - memory.centroids[assigned[n] * D + j];
      sum += w[j] * difference * difference;
    }
  }
  return BlockSum(sum, memory.reduction);
}

template <int D>
__global__ __launch_bounds__(512) void ClusterGroupsKernel(const int copies, const ClusterArguments in) {
  extern __shared__ __align__(16) double shared[];
  const int k_count = in.centroid_count;
  const GroupMemory<D> memory(shared, copies, k_count);
  const bool reference = in.compatibility == Compatibility::kReference;
  for (std::int64_t group = blockIdx.x; group < in.vectors.group_count; group += gridDim.x) {
    const GroupVectors<D> vectors(in.vectors, group);
    std::uint8_t* assigned = in.assigned + in.vectors.Begin(group);
    std::uint8_t* previous = in.previous + in.vectors.Begin(group);
    float* distances = in.distances + in.vectors.Begin(group);
    for (int e = threadIdx.x; e < k_count * D; e += blockDim.x) memory.centroids[e] = in.codebooks.at(group, e);
    for (int i = threadIdx.x; i < copies * k_count * D * 2; i += blockDim.x) memory.sums[i] = 0;
    for (int i = threadIdx.x; i < copies * k_count; i += blockDim.x) memory.sizes[i] = 0;
    __syncthreads();
    AssignVectors<D>(vectors, memory.centroids, k_count, assigned);
    __syncthreads();
    UpdateSums<D>(vectors, nullptr, assigned, copies, k_count, memory);
    int iterations = 0;
    while (iterations < in.max_iterations) {
      if (UpdateCentroids<D>(copies, k_count, memory)) {
        const int empty_count = ListEmptyCells<D>(copies, k_count, memory);
        if (reference) {
          for (int i = threadIdx.x; i < empty_count * D; i += blockDim.x) {
            memory.centroids[memory.empty[i / D] * D + i % D] = 0;
          }
          __syncthreads();
        } else {
          ReseedCells<D>(vectors, assigned, distances, empty_count, memory);
        }
      }
      if (++iterations == in.max_iterations) break;
      std::uint8_t* const swapped = previous;
      previous = assigned;
      assigned = swapped;
      AssignVectors<D>(vectors, memory.centroids, k_count, assigned);
      __syncthreads();
      if (!UpdateSums<D>(vectors, previous, assigned, copies, k_count, memory) && !reference) break;
    }
    const double objective = Objective<D>(vectors, assigned, memory);
    if (threadIdx.x == 0) {
      in.iterations_out[group] = iterations;
      in.objectives_out[group] = objective;
    }
    for (int e = threadIdx.x; e < k_count * D; e += blockDim.x) in.codebooks.at(group, e) = memory.centroids[e];
    __syncthreads();
  }
}

template <int D>
__global__ __launch_bounds__(256) void GatherVectorsKernel(const GatherArguments in) {
  const StripeVectors& out = in.vectors_out;
  for (std::int64_t r = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y; r < out.rows;
       r += std::int64_t{gridDim.x} * blockDim.y) {
    for (std::int64_t p = threadIdx.x; p < out.positions; p += blockDim.x) {
      const float scale = in.code.ScaleAt(r, in.column_begin + p * D);
      const std::int64_t n = r * out.positions + p;
#pragma unroll
      for (int j = 0; j < D; ++j) {
        out.x[j * out.count + n] = in.x.at(r, p * D + j) / scale;
        out.w[j * out.count + n] = in.column_weights[p * D + j] * scale * scale;
      }
    }
  }
}

template <int D>
absl::Status LaunchCluster(const GroupPlan& plan, const ClusterArguments& arguments, cudaStream_t stream) {
  GPTVQ_RETURN_IF_ERROR(AllowSharedBytes("ClusterGroupsKernel", ClusterGroupsKernel<D>));
  ClusterGroupsKernel<D><<<plan.grid, plan.threads, plan.shared_bytes, stream>>>(plan.sum_copies, arguments);
  return LaunchStatus("ClusterGroupsKernel");
}

}  // namespace

absl::Status LaunchGatherVectors(const RowsPlan& plan, const GatherArguments& arguments, cudaStream_t stream) {
  return ForVectorDim("ClusterStripe", arguments.code.vector_dim, [&](auto dim) {
    GatherVectorsKernel<dim.value><<<plan.grid, dim3(plan.threads_x, plan.threads_y), 0, stream>>>(arguments);
    return LaunchStatus("GatherVectorsKernel");
  });
}

absl::Status LaunchClusterGroups(const GroupPlan& plan, int vector_dim, const ClusterArguments& arguments,
                                 cudaStream_t stream) {
  return ForVectorDim("ClusterStripe", vector_dim,
                      [&](auto dim) { return LaunchCluster<dim.value>(plan, arguments, stream); });
}

}  // namespace gptvq::cuda

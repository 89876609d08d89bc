// Causal softmax attention, O = softmax(s Q K^T) V, without scores in device memory (the running softmax of
// Milakov and Gimelshein 2018, tiled as in FlashAttention-2, Dao 2023).
//
// Thread block <-> query_tile queries of one head, warp <-> 16 of them; key_tile keys and values at a time
// pass through two stages of shared memory, the next one loading while this one is worked on. Products: bf16
// mma.m16n8k16 with f32 accumulators; the weights of a key tile go from the accumulators of Q K^T straight
// into the operand of the second product, rounded to bf16; their sum is taken before that rounding. Heads are
// padded to a multiple of 16 columns with zeros.
// Operations: 4 T L/2 D a head; bytes: K and V once per query tile, mostly from the second-level cache.
// Accumulation: f32.
// Determinism: key tiles run in order; nothing is split over keys.
// Limits: heads of at most 256 elements.
#include <cuda_pipeline.h>

#include "core/cuda/attention_kernels.h"
#include "core/cuda/cuda_status.h"
#include "core/cuda/device_math.cuh"
#include "core/cuda/tensor_core.cuh"
#include "core/cuda/tile_launch.cuh"

namespace gptvq::cuda {
namespace {

constexpr int kStages = 2;
constexpr int kPad = 8;    // elements: rows of a tile stay 16-byte aligned and spread over the banks
constexpr int kChunk = 8;  // elements of one 16-byte copy
constexpr float kLog2E = 1.4426950408889634f;

template <int Dim, int Queries, int Keys>
struct AttentionTile {
  static constexpr int kStride = Dim + kPad;
  static constexpr int kWarps = Queries / 16;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kSharedBytes = (Queries + 2 * kStages * Keys) * kStride * 2;
  static_assert(Dim % 16 == 0 && Keys % 16 == 0 && Queries % 16 == 0);
  static_assert(kStride * 2 % 16 == 0, "ldmatrix reads rows of 16 bytes");
};

__device__ unsigned PackPair(float low, float high) {
  return static_cast<unsigned>(ToBf16(low)) | (static_cast<unsigned>(ToBf16(high)) << 16);
}

// `row_count` rows of one head from row `first` of a sequence into a tile of `Rows` rows, zeros where there is
// nothing. `vectorised`: the matrix and the head are aligned to 16 bytes, so the copy is asynchronous.
template <int Rows, int Dim, int Threads>
__device__ void LoadRows(const std::uint16_t* matrix, std::int64_t stride, int head_dim, std::int64_t row_count,
                         bool vectorised, std::uint16_t* tile) {
  constexpr int kChunksPerRow = Dim / kChunk;
  for (int i = static_cast<int>(threadIdx.x); i < Rows * kChunksPerRow; i += Threads) {
    const int r = i / kChunksPerRow, c = i % kChunksPerRow * kChunk;
    std::uint16_t* to = tile + r * (Dim + kPad) + c;
    const std::uint16_t* from = matrix + r * stride + c;
    if (vectorised) {
      const bool inside = r < row_count && c < head_dim;
      __pipeline_memcpy_async(to, inside ? from : matrix, kChunk * 2, inside ? 0 : kChunk * 2);
    } else {
      for (int e = 0; e < kChunk; ++e) to[e] = r < row_count && c + e < head_dim ? from[e] : 0;
    }
  }
}

// What a lane keeps of its two queries (rows lane / 4 and lane / 4 + 8 of its warp's sixteen).
template <int Dim>
struct QueryState {
  float out[Dim / 8][4] = {};
  float max[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};
};

// scores = Q K^T for the warp's 16 queries and all keys of a tile.
template <int Dim, int Keys>
__device__ void MultiplyKeys(const std::uint16_t* queries, const std::uint16_t* keys, float (&scores)[Keys / 8][4]) {
  constexpr int kStride = Dim + kPad;
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int n = 0; n < Keys / 8; ++n) scores[n][0] = scores[n][1] = scores[n][2] = scores[n][3] = 0;
#pragma unroll
  for (int k = 0; k < Dim; k += 16) {
    unsigned a[4];
    LoadMatrices(a, queries + lane % 16 * kStride + k + lane / 16 * 8);
#pragma unroll
    for (int n = 0; n < Keys; n += 16) {
      unsigned b[4];  // keys n .. n + 7 and n + 8 .. n + 15, columns k .. k + 15
      LoadMatrices(b, keys + (n + lane / 16 * 8 + lane % 8) * kStride + k + lane / 8 % 2 * 8);
      MultiplyAdd(scores[n / 8], a, b[0], b[1]);
      MultiplyAdd(scores[n / 8 + 1], a, b[2], b[3]);
    }
  }
}

// Turns scores into weights relative to the new maximum and rescales what is there.
template <int Dim, int Keys>
__device__ void FoldScores(const AttentionShape& shape, std::int64_t first_query, std::int64_t first_key,
                           float (&scores)[Keys / 8][4], QueryState<Dim>& state) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const float scale = shape.score_scale * kLog2E;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int64_t position = first_query + lane / 4 + half * 8;
    const std::int64_t oldest = shape.sliding_window == 0 ? 0 : position + 1 - shape.sliding_window;
    float largest = state.max[half];
#pragma unroll
    for (int n = 0; n < Keys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const std::int64_t key = first_key + n * 8 + lane % 4 * 2 + i;
        float& score = scores[n][half * 2 + i];
        score = key <= position && key >= oldest ? score * scale : -INFINITY;
        largest = fmaxf(largest, score);
      }
    }
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2));
    const float base = largest == -INFINITY ? 0.0f : largest;  // no key seen yet: all weights are 0
    const float factor = exp2f(state.max[half] - base);
    float sum = 0;
#pragma unroll
    for (int n = 0; n < Keys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float& score = scores[n][half * 2 + i];
        score = exp2f(score - base);
        sum += score;
      }
    }
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    state.sum[half] = state.sum[half] * factor + sum;
    state.max[half] = largest;
#pragma unroll
    for (int n = 0; n < Dim / 8; ++n) {
      state.out[n][half * 2] *= factor;
      state.out[n][half * 2 + 1] *= factor;
    }
  }
}

// out += weights V.
template <int Dim, int Keys>
__device__ void MultiplyValues(const float (&weights)[Keys / 8][4], const std::uint16_t* values,
                               QueryState<Dim>& state) {
  constexpr int kStride = Dim + kPad;
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int k = 0; k < Keys; k += 16) {
    const float(&left)[4] = weights[k / 8];
    const float(&right)[4] = weights[k / 8 + 1];
    const unsigned a[4] = {PackPair(left[0], left[1]), PackPair(left[2], left[3]), PackPair(right[0], right[1]),
                           PackPair(right[2], right[3])};
#pragma unroll
    for (int n = 0; n < Dim; n += 16) {
      unsigned b[4];  // values k .. k + 15, columns n .. n + 7 and n + 8 .. n + 15
      LoadMatricesTransposed(b, values + (k + lane % 16) * kStride + n + lane / 16 * 8);
      MultiplyAdd(state.out[n / 8], a, b[0], b[1]);
      MultiplyAdd(state.out[n / 8 + 1], a, b[2], b[3]);
    }
  }
}

template <int Dim>
__device__ void WriteQueries(const QueryState<Dim>& state, std::int64_t first_query, std::int64_t length, int head_dim,
                             Bf16View out, std::int64_t first_row, std::int64_t first_column) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int64_t position = first_query + lane / 4 + half * 8;
    if (position >= length) continue;
    const float factor = 1.0f / state.sum[half];
    std::uint16_t* row = out.row(first_row + position) + first_column;
#pragma unroll
    for (int n = 0; n < Dim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int c = n * 8 + lane % 4 * 2 + i;
        if (c < head_dim) row[c] = ToBf16(state.out[n][half * 2 + i] * factor);
      }
    }
  }
}

template <int Dim, int Queries, int Keys>
__global__ __launch_bounds__(AttentionTile<Dim, Queries, Keys>::kThreads) void CausalAttentionKernel(
    const AttentionArguments in, const bool vectorised) {
  using Tile = AttentionTile<Dim, Queries, Keys>;
  extern __shared__ __align__(16) std::uint16_t tiles[];
  std::uint16_t* const queries = tiles;
  std::uint16_t* const keys = queries + Queries * Tile::kStride;  // [stages, Keys, stride]
  std::uint16_t* const values = keys + kStages * Keys * Tile::kStride;
  const AttentionShape& shape = in.shape;
  const std::int64_t length = shape.sequence_length;
  // The longest ones first: their last key tiles would otherwise run alone at the end.
  const std::int64_t first_query = std::int64_t{gridDim.x - 1 - blockIdx.x} * Queries;
  const std::int64_t first_row = (in.first_sequence + blockIdx.z) * length;
  const int head = static_cast<int>(blockIdx.y);
  const std::int64_t column = std::int64_t{head} * shape.head_dim;
  const std::int64_t kv_column = std::int64_t{head / (shape.head_count / shape.kv_head_count)} * shape.head_dim;
  const std::int64_t end = min(length, first_query + Queries);
  const std::int64_t oldest =
      shape.sliding_window == 0 ? 0 : max(first_query + 1 - shape.sliding_window, std::int64_t{0});
  const std::int64_t first_tile = oldest / Keys, tile_end = (end + Keys - 1) / Keys;

  const auto load_keys_values = [&](std::int64_t tile) {
    const std::int64_t key = tile * Keys;
    const int at = static_cast<int>(tile % kStages) * Keys * Tile::kStride;
    LoadRows<Keys, Dim, Tile::kThreads>(in.k.row(first_row + key) + kv_column, in.k.stride, shape.head_dim,
                                        length - key, vectorised, keys + at);
    LoadRows<Keys, Dim, Tile::kThreads>(in.v.row(first_row + key) + kv_column, in.v.stride, shape.head_dim,
                                        length - key, vectorised, values + at);
  };
  LoadRows<Queries, Dim, Tile::kThreads>(in.q.row(first_row + first_query) + column, in.q.stride, shape.head_dim,
                                         length - first_query, vectorised, queries);
  load_keys_values(first_tile);
  __pipeline_commit();

  const int warp = static_cast<int>(threadIdx.x / 32);
  const std::int64_t warp_query = first_query + warp * 16;
  QueryState<Dim> state;
  for (std::int64_t tile = first_tile; tile < tile_end; ++tile) {
    if (tile + 1 < tile_end) load_keys_values(tile + 1);
    __pipeline_commit();
    __pipeline_wait_prior(1);
    __syncthreads();
    const int at = static_cast<int>(tile % kStages) * Keys * Tile::kStride;
    if (tile * Keys <= warp_query + 15) {  // otherwise all these keys come after the warp's queries
      float scores[Keys / 8][4];
      MultiplyKeys<Dim, Keys>(queries + warp * 16 * Tile::kStride, keys + at, scores);
      FoldScores<Dim, Keys>(shape, warp_query, tile * Keys, scores, state);
      MultiplyValues<Dim, Keys>(scores, values + at, state);
    }
    __syncthreads();  // before this stage is loaded again
  }
  WriteQueries<Dim>(state, warp_query, length, shape.head_dim, in.out, first_row, column);
}

bool IsAligned(ConstBf16View view) {
  return reinterpret_cast<std::uintptr_t>(view.data) % (2 * kChunk) == 0 && view.stride % kChunk == 0;
}

template <int Dim, int Queries, int Keys>
absl::Status Launch(const AttentionPlan& plan, const AttentionArguments& arguments, cudaStream_t stream) {
  using Tile = AttentionTile<Dim, Queries, Keys>;
  if (plan.query_tile != Queries || plan.key_tile != Keys || plan.shared_bytes != Tile::kSharedBytes) {
    return absl::InternalError("CausalAttention: the plan and the kernel disagree about the tile");
  }
  const std::int64_t sequences = arguments.q.rows / arguments.shape.sequence_length - arguments.first_sequence;
  const auto grid_z = static_cast<unsigned>(sequences < plan.grid_z ? sequences : plan.grid_z);
  const bool vectorised = arguments.shape.head_dim % kChunk == 0 && IsAligned(arguments.q) && IsAligned(arguments.k) &&
                          IsAligned(arguments.v);
  const auto kernel = CausalAttentionKernel<Dim, Queries, Keys>;
  GPTVQ_RETURN_IF_ERROR(AllowSharedBytes("CausalAttentionKernel", kernel));
  kernel<<<dim3(plan.grid_x, plan.grid_y, grid_z), Tile::kThreads, plan.shared_bytes, stream>>>(arguments, vectorised);
  return LaunchStatus("CausalAttentionKernel");
}

}  // namespace

absl::Status LaunchCausalAttention(const AttentionPlan& plan, const AttentionArguments& arguments,
                                   cudaStream_t stream) {
  switch (plan.padded_dim) {
    case 16: return Launch<16, 128, 64>(plan, arguments, stream);
    case 32: return Launch<32, 128, 64>(plan, arguments, stream);
    case 64: return Launch<64, 128, 64>(plan, arguments, stream);
    case 128: return Launch<128, 128, 64>(plan, arguments, stream);
    case 256: return Launch<256, 64, 32>(plan, arguments, stream);
    default: return absl::InvalidArgumentError("CausalAttention: heads are at most 256 elements wide");
  }
}

}  // namespace gptvq::cuda

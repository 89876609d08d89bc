// Causal attention, blocked with an online softmax (Milakov and Gimelshein 2018; Dao et al. 2022): a tile of queries
// meets the keys tile by tile; a running maximum and a running sum per query rescale what was accumulated before. Both
// products run on packed panels (sgemm_kernels.h); keys and values of a sequence are packed once for all queries and heads.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/backend/forward_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_forward_ops.h"
#include "core/cpu/row_kernels.h"

namespace gptvq {
namespace {

constexpr std::int64_t kQueryTile = 96;
constexpr std::int64_t kKeyTile = 128;

std::int64_t CountPieces(std::int64_t size, std::int64_t piece) { return (size + piece - 1) / piece; }

// Positions [begin, end) of the keys that position i may see.
struct KeyRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

KeyRange VisibleKeys(const AttentionShape& shape, std::int64_t i) {
  return {shape.sliding_window > 0 ? std::max<std::int64_t>(0, i - shape.sliding_window + 1) : 0, i + 1};
}

// Keys and values of one sequence as right operands: per head and tile of keys, K^T and V.
class PackedKeyValues {
 public:
  PackedKeyValues(const AttentionShape& shape, AlignedScratch& scratch)
      : shape_(shape), tiles_(CountPieces(shape.sequence_length, kKeyTile)) {
    const std::int64_t panel = MicroPanel().cols;
    // Either operand has its columns rounded up to whole panels.
    value_offset_ = CountPieces(kKeyTile, panel) * panel * shape.head_dim;
    tile_floats_ = value_offset_ + CountPieces(shape.head_dim, panel) * panel * kKeyTile;
    data_ = scratch.Floats(shape.kv_head_count * tiles_ * tile_floats_);
  }

  // Rows of k and v: the positions of the sequence.
  void Pack(WorkerPool& pool, MatrixView<const float> k, MatrixView<const float> v) {
    pool.ParallelFor(shape_.kv_head_count * tiles_, [&](std::int64_t i) {
      const std::int64_t first_key = i % tiles_ * kKeyTile;
      const std::int64_t first_col = i / tiles_ * shape_.head_dim;
      const std::int64_t count = std::min(kKeyTile, shape_.sequence_length - first_key);
      float* tile = data_ + i * tile_floats_;
      PackRight({k.Block(first_key, first_col, count, shape_.head_dim), Transpose::kYes}, tile);
      PackRight({v.Block(first_key, first_col, count, shape_.head_dim), Transpose::kNo}, tile + value_offset_);
    });
  }

  const float* keys(std::int64_t head, std::int64_t tile) const {
    return data_ + (head * tiles_ + tile) * tile_floats_;
  }
  const float* values(std::int64_t head, std::int64_t tile) const { return keys(head, tile) + value_offset_; }

 private:
  const AttentionShape& shape_;
  std::int64_t tiles_;
  std::int64_t value_offset_;
  std::int64_t tile_floats_;
  float* data_;
};

// Memory of one thread for a tile of queries.
struct QueryScratch {
  std::vector<float> packed_queries, scores, packed_scores, sums, output;

  explicit QueryScratch(std::int64_t head_dim)
      : packed_queries(RoundedRows() * head_dim),
        scores(kQueryTile * kKeyTile),
        packed_scores(RoundedRows() * kKeyTile),
        sums(2 * kQueryTile),
        output(kQueryTile * head_dim) {}

  static std::size_t RoundedRows() {
    return static_cast<std::size_t>(CountPieces(kQueryTile, MicroPanel().rows) * MicroPanel().rows);
  }
};

// One head of one sequence, and a tile of its queries.
class QueryTile {
 public:
  QueryTile(const AttentionShape& shape, MatrixView<const float> q, std::int64_t first_position, QueryScratch& scratch)
      : shape_(shape),
        query_count_(q.rows),
        first_position_(first_position),
        scratch_(scratch),
        output_(scratch.output.data(), q.rows, q.cols),
        max_(scratch.sums.data()),
        sum_(scratch.sums.data() + kQueryTile) {
    PackLeft({q, Transpose::kNo}, scratch.packed_queries.data());
    std::fill(scratch.output.begin(), scratch.output.end(), 0.0f);
    std::fill_n(max_, kQueryTile, -std::numeric_limits<float>::infinity());
    std::fill_n(sum_, kQueryTile, 0.0f);
  }

  void Attend(const PackedKeyValues& key_values, std::int64_t kv_head) {
    const std::int64_t last_key = first_position_ + query_count_ - 1;
    for (std::int64_t tile = VisibleKeys(shape_, first_position_).begin / kKeyTile; tile * kKeyTile <= last_key;
         ++tile) {
      const std::int64_t key = tile * kKeyTile;
      const std::int64_t count = std::min(kKeyTile, shape_.sequence_length - key);
      const MatrixView<float> scores(scratch_.scores.data(), query_count_, count);
      MultiplyPacked({.left = scratch_.packed_queries.data(),
                      .right = key_values.keys(kv_head, tile),
                      .inner = shape_.head_dim,
                      .alpha = shape_.score_scale},
                     scores);
      for (std::int64_t i = 0; i < query_count_; ++i) FoldScores(i, key, scores.row(i), count);
      PackLeft({scores, Transpose::kNo}, scratch_.packed_scores.data());
      MultiplyPacked(
          {.left = scratch_.packed_scores.data(), .right = key_values.values(kv_head, tile), .inner = count, .beta = 1},
          output_);
    }
  }

  void Write(MatrixView<float> out) const {
    for (std::int64_t i = 0; i < query_count_; ++i) {
      const float factor = 1.0f / sum_[i];
      for (std::int64_t c = 0; c < out.cols; ++c) out.at(i, c) = output_.at(i, c) * factor;
    }
  }

 private:
  // Turns the scores of query i against keys [key, key + count) into weights relative to the new maximum, zero where
  // the query does not see the key, and rescales what is there.
  void FoldScores(std::int64_t i, std::int64_t key, float* scores, std::int64_t count) {
    const KeyRange visible = VisibleKeys(shape_, first_position_ + i);
    const std::int64_t begin = std::clamp<std::int64_t>(visible.begin - key, 0, count);
    const std::int64_t end = std::clamp<std::int64_t>(visible.end - key, begin, count);
    std::fill(scores, scores + begin, 0.0f);
    std::fill(scores + end, scores + count, 0.0f);
    if (begin == end) return;
    const float new_max = std::max(max_[i], RowMax(scores + begin, end - begin));
    const float factor = std::exp(max_[i] - new_max);
    sum_[i] = sum_[i] * factor + ExpRow(scores + begin, end - begin, new_max);
    if (factor != 1.0f) {
      for (std::int64_t c = 0; c < output_.cols; ++c) output_.at(i, c) *= factor;
    }
    max_[i] = new_max;
  }

  const AttentionShape& shape_;
  std::int64_t query_count_;
  std::int64_t first_position_;
  QueryScratch& scratch_;
  MatrixView<float> output_;
  float* max_;
  float* sum_;
};

}  // namespace

absl::Status CpuForwardOps::CausalAttention(ConstTensorView q_tensor, ConstTensorView k_tensor,
                                            ConstTensorView v_tensor, const AttentionShape& shape,
                                            TensorView out_tensor) {
  GPTVQ_RETURN_IF_ERROR(CheckCausalAttention(DType::kF32, q_tensor, k_tensor, v_tensor, shape, out_tensor));
  const auto q = q_tensor.As<const float>();
  const auto k = k_tensor.As<const float>();
  const auto v = v_tensor.As<const float>();
  const auto out = out_tensor.As<float>();
  const std::int64_t length = shape.sequence_length;
  const std::int64_t dim = shape.head_dim;
  const std::int64_t tiles = CountPieces(length, kQueryTile);
  PackedKeyValues key_values(shape, key_values_);
  std::vector<QueryScratch> scratch(static_cast<std::size_t>(pool_.thread_count()), QueryScratch(dim));
  for (std::int64_t first_row = 0; first_row < q.rows; first_row += length) {
    key_values.Pack(pool_, k.Rows(first_row, length), v.Rows(first_row, length));
    pool_.ParallelForWithThread(shape.head_count * tiles, [&](std::int64_t task, int thread) {
      const std::int64_t position = (tiles - 1 - task / shape.head_count) * kQueryTile;  // the longest ones first
      const std::int64_t head = task % shape.head_count;
      const std::int64_t count = std::min(kQueryTile, length - position);
      QueryTile tile(shape, q.Block(first_row + position, head * dim, count, dim), position, scratch[thread]);
      tile.Attend(key_values, head / (shape.head_count / shape.kv_head_count));
      tile.Write(out.Block(first_row + position, head * dim, count, dim));
    });
  }
  return absl::OkStatus();
}

}  // namespace gptvq

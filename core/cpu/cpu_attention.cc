// Causal attention, blocked with an online softmax (Milakov and Gimelshein 2018; Dao et al. 2022): a tile of queries
// meets the keys tile by tile; a running maximum and a running sum per query rescale what was accumulated before.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/backend/forward_checks.h"
#include "core/base/status_macros.h"
#include "core/cpu/cpu_forward_ops.h"
#include "core/cpu/tiled_product.h"

namespace gptvq {
namespace {

constexpr std::int64_t kQueryTile = 64;
constexpr std::int64_t kKeyTile = 128;

// Positions [begin, end) of the keys that position i may see.
struct KeyRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

KeyRange VisibleKeys(const AttentionShape& shape, std::int64_t i) {
  return {shape.sliding_window > 0 ? std::max<std::int64_t>(0, i - shape.sliding_window + 1) : 0, i + 1};
}

// One head of one sequence, and a tile of its queries.
class QueryTile {
 public:
  QueryTile(const AttentionShape& shape, MatrixView<const float> q, std::int64_t first_position, MatrixView<float> out)
      : shape_(shape),
        q_(q),
        first_position_(first_position),
        out_(out),
        scores_(static_cast<std::size_t>(q.rows * kKeyTile)),
        max_(static_cast<std::size_t>(q.rows), -std::numeric_limits<float>::infinity()),
        sum_(static_cast<std::size_t>(q.rows)) {
    for (std::int64_t i = 0; i < out.rows; ++i) std::fill_n(out.row(i), out.cols, 0.0f);
  }

  // Keys and values of all positions of the sequence, of this head.
  void Attend(MatrixView<const float> k, MatrixView<const float> v) {
    const std::int64_t begin = VisibleKeys(shape_, first_position_).begin;
    const std::int64_t end = first_position_ + q_.rows;
    for (std::int64_t key = begin; key < end; key += kKeyTile) {
      const std::int64_t count = std::min(kKeyTile, end - key);
      const MatrixView<float> scores(scores_.data(), q_.rows, count);
      Gemm(shape_.score_scale, q_, Transpose::kNo, k.Rows(key, count), Transpose::kYes, 0.0f, scores);
      for (std::int64_t i = 0; i < q_.rows; ++i) FoldScores(i, key, scores.row(i), count);
      Gemm(1.0f, scores, Transpose::kNo, v.Rows(key, count), Transpose::kNo, 1.0f, out_);
    }
    for (std::int64_t i = 0; i < q_.rows; ++i) {
      const float factor = 1.0f / sum_[i];
      for (std::int64_t c = 0; c < out_.cols; ++c) out_.at(i, c) *= factor;
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
    const float new_max = std::max(max_[i], *std::max_element(scores + begin, scores + end));
    const float factor = std::exp(max_[i] - new_max);
    float tile_sum = 0;
    for (std::int64_t c = begin; c < end; ++c) {
      scores[c] = std::exp(scores[c] - new_max);
      tile_sum += scores[c];
    }
    max_[i] = new_max;
    sum_[i] = sum_[i] * factor + tile_sum;
    for (std::int64_t c = 0; c < out_.cols; ++c) out_.at(i, c) *= factor;
  }

  const AttentionShape& shape_;
  MatrixView<const float> q_;
  std::int64_t first_position_;
  MatrixView<float> out_;
  std::vector<float> scores_;
  std::vector<float> max_;
  std::vector<float> sum_;
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
  const std::int64_t tiles = (length + kQueryTile - 1) / kQueryTile;
  const std::int64_t sequences = q.rows / length;
  const std::int64_t dim = shape.head_dim;
  pool_.ParallelFor(sequences * shape.head_count * tiles, [&](std::int64_t task) {
    const std::int64_t position = task % tiles * kQueryTile;
    const std::int64_t head = task / tiles % shape.head_count;
    const std::int64_t first_row = task / tiles / shape.head_count * length;
    const std::int64_t kv_head = head / (shape.head_count / shape.kv_head_count);
    const std::int64_t count = std::min(kQueryTile, length - position);
    QueryTile tile(shape, q.Block(first_row + position, head * dim, count, dim), position,
                   out.Block(first_row + position, head * dim, count, dim));
    tile.Attend(k.Block(first_row, kv_head * dim, length, dim), v.Block(first_row, kv_head * dim, length, dim));
  });
  return absl::OkStatus();
}

}  // namespace gptvq

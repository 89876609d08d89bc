#include <algorithm>
#include <cmath>

#include "tests/conformance/backend_conformance.h"
#include "tests/conformance/guarded_matrix.h"
#include "tests/conformance/reference_matrix.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

struct Inputs {
  std::vector<float> q, k, v;
};

Inputs RandomInputs(DType dtype, const AttentionShape& shape, std::int64_t tokens) {
  const std::int64_t dim = shape.head_dim;
  return {RoundedTo(dtype, TestRandom(20).Normals(tokens * shape.head_count * dim)),
          RoundedTo(dtype, TestRandom(21).Normals(tokens * shape.kv_head_count * dim)),
          RoundedTo(dtype, TestRandom(22).Normals(tokens * shape.kv_head_count * dim))};
}

// Softmax attention, one query at a time, all scores in memory.
std::vector<double> Attention64(const Inputs& in, const AttentionShape& shape, std::int64_t tokens) {
  const std::int64_t dim = shape.head_dim, q_cols = shape.head_count * dim, kv_cols = shape.kv_head_count * dim;
  std::vector<double> out(tokens * q_cols);
  for (std::int64_t t = 0; t < tokens; ++t) {
    const std::int64_t position = t % shape.sequence_length, first = t - position;
    const std::int64_t oldest =
        shape.sliding_window == 0 ? 0 : std::max<std::int64_t>(0, position + 1 - shape.sliding_window);
    for (std::int64_t head = 0; head < shape.head_count; ++head) {
      const std::int64_t kv = head / (shape.head_count / shape.kv_head_count) * dim;
      std::vector<double> weights;
      double largest = -1e300, total = 0;
      for (std::int64_t j = oldest; j <= position; ++j) {
        double score = 0;
        for (std::int64_t i = 0; i < dim; ++i) {
          score += static_cast<double>(in.q[t * q_cols + head * dim + i]) * in.k[(first + j) * kv_cols + kv + i];
        }
        weights.push_back(score * shape.score_scale);
        largest = std::max(largest, weights.back());
      }
      for (double& weight : weights) total += weight = std::exp(weight - largest);
      for (std::int64_t j = oldest; j <= position; ++j) {
        for (std::int64_t i = 0; i < dim; ++i) {
          out[t * q_cols + head * dim + i] += weights[j - oldest] / total * in.v[(first + j) * kv_cols + kv + i];
        }
      }
    }
  }
  return out;
}

class AttentionConformance : public BackendConformance {
 protected:
  void ExpectSoftmax(const AttentionShape& shape, std::int64_t sequences, GuardedTensor::Rows rows) {
    const std::int64_t tokens = sequences * shape.sequence_length;
    const std::int64_t q_cols = shape.head_count * shape.head_dim, kv_cols = shape.kv_head_count * shape.head_dim;
    const Inputs in = RandomInputs(backend().activation_dtype(), shape, tokens);

    const auto out = OnEveryThreadCount([&](Backend& b) {
      const GuardedTensor q(b, tokens, q_cols, in.q, rows), k(b, tokens, kv_cols, in.k, rows);
      const GuardedTensor v(b, tokens, kv_cols, in.v, rows), out(b, tokens, q_cols, rows);
      EXPECT_TRUE(b.forward().CausalAttention(q.view(), k.view(), v.view(), shape, out.view()).ok());
      return std::make_tuple(out.Read());
    });

    const double unit = UnitRoundoff(backend().activation_dtype());
    EXPECT_TRUE(Close(std::get<0>(out), Attention64(in, shape, tokens),
                      {2 * unit + 300 * kFloatRoundoff, "weights and result rounded to the dtype; sums of up to 300"}));
  }
};

TEST_P(AttentionConformance, EqualsSoftmaxOverVisiblePositions) {
  const AttentionShape cases[] = {
      {.sequence_length = 1, .head_count = 1, .kv_head_count = 1, .head_dim = 4, .score_scale = 0.5f},
      {.sequence_length = 130, .head_count = 3, .kv_head_count = 1, .head_dim = 64, .score_scale = 0.125f},
      {.sequence_length = 67, .head_count = 4, .kv_head_count = 2, .head_dim = 6, .score_scale = 3.0f},
      {.sequence_length = 200,
       .head_count = 2,
       .kv_head_count = 2,
       .head_dim = 16,
       .sliding_window = 1,
       .score_scale = 1},
      {.sequence_length = 300,
       .head_count = 2,
       .kv_head_count = 1,
       .head_dim = 8,
       .sliding_window = 37,
       .score_scale = 1},
      {.sequence_length = 140,
       .head_count = 2,
       .kv_head_count = 1,
       .head_dim = 8,
       .sliding_window = 500,
       .score_scale = 1},
  };
  for (const AttentionShape& shape : cases) {
    for (std::int64_t sequences : {0, 2}) {
      SCOPED_TRACE(testing::Message() << sequences << " sequences of " << shape.sequence_length << ", window "
                                      << shape.sliding_window);
      ExpectSoftmax(shape, sequences, GuardedTensor::Rows::kUnaligned);
    }
  }
}

// Every width that a backend may pad heads to or have a kernel for, and rows that it may read several elements at a time.
TEST_P(AttentionConformance, EqualsSoftmaxForHeadsOfEveryWidthInAlignedRows) {
  for (int head_dim : {8, 24, 64, 128, 136}) {
    for (std::int64_t window : {0, 150}) {
      SCOPED_TRACE(testing::Message() << "heads of " << head_dim << ", window " << window);
      ExpectSoftmax({.sequence_length = 210,
                     .head_count = 2,
                     .kv_head_count = 1,
                     .head_dim = head_dim,
                     .sliding_window = window,
                     .score_scale = 1 / std::sqrt(static_cast<float>(head_dim))},
                    1, GuardedTensor::Rows::kAligned);
    }
  }
}

// Scores of +-1e4: weights are exactly 0 or 1 and nothing overflows.
TEST_P(AttentionConformance, SurvivesHugeScores) {
  const AttentionShape shape = {
      .sequence_length = 150, .head_count = 1, .kv_head_count = 1, .head_dim = 2, .score_scale = 100};
  const std::int64_t tokens = shape.sequence_length;
  Inputs in = RandomInputs(backend().activation_dtype(), shape, tokens);
  for (float& value : in.q) value = 10;
  for (std::int64_t t = 0; t < tokens; ++t) in.k[2 * t] = in.k[2 * t + 1] = t % 7 == 3 ? 5.0f : -5.0f;

  const GuardedTensor q(backend(), tokens, 2, in.q), k(backend(), tokens, 2, in.k), v(backend(), tokens, 2, in.v);
  const GuardedTensor out(backend(), tokens, 2);
  ASSERT_TRUE(backend().forward().CausalAttention(q.view(), k.view(), v.view(), shape, out.view()).ok());

  EXPECT_TRUE(Close(out.Read(), Attention64(in, shape, tokens),
                    {UnitRoundoff(backend().activation_dtype()) * 2 + 1e-5, "a mean of equals"}));
}

INSTANTIATE_TEST_SUITE_P(Backends, AttentionConformance, testing::ValuesIn(BackendFactories()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptvq

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "tests/conformance/backend_conformance.h"
#include "tests/conformance/guarded_matrix.h"
#include "tests/conformance/reference_matrix.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

// What one operation may lose: its inputs are exact in the activation dtype, it computes in f32 and rounds its result once.
Bound Elementwise(Backend& backend) {
  return {UnitRoundoff(backend.activation_dtype()) + 16 * kFloatRoundoff,
          "one rounding to the activation dtype, a handful of f32 operations"};
}

class ForwardOpsConformance : public BackendConformance {
 protected:
  std::vector<float> Tensor(std::int64_t count, std::uint64_t stream) {
    return RoundedTo(backend().activation_dtype(), TestRandom(stream).Normals(count));
  }
};

TEST_P(ForwardOpsConformance, LinearAddsProductsAndBiasForRaggedShapes) {
  struct Case {
    std::int64_t tokens, inputs, outputs;
  };
  for (const Case& c : {Case{0, 5, 3}, {1, 1, 1}, {1, 576, 192}, {193, 96, 385}, {64, 577, 1}, {200, 192, 400}}) {
    for (bool with_bias : {false, true}) {
      SCOPED_TRACE(testing::Message() << c.tokens << "x" << c.inputs << "x" << c.outputs << " bias " << with_bias);
      const auto x = Tensor(c.tokens * c.inputs, 1);
      const auto w = Tensor(c.outputs * c.inputs, 2);
      const auto bias = TestRandom(3).Normals(c.outputs);

      const auto y = OnEveryThreadCount([&](Backend& b) {
        const GuardedTensor x_device(b, c.tokens, c.inputs, x), w_device(b, c.outputs, c.inputs, w);
        const GuardedMatrix<float> bias_device(b, 1, c.outputs, bias);
        const GuardedTensor y_device(b, c.tokens, c.outputs);
        EXPECT_TRUE(b.forward()
                        .Linear(x_device.view(), w_device.view(), with_bias ? bias_device.view() : MatrixView<float>(),
                                y_device.view())
                        .ok());
        return std::make_tuple(y_device.Read());
      });

      std::vector<double> expected, scales;
      for (std::int64_t t = 0; t < c.tokens; ++t) {
        for (std::int64_t r = 0; r < c.outputs; ++r) {
          double sum = with_bias ? bias[r] : 0.0, magnitude = std::fabs(sum);
          for (std::int64_t i = 0; i < c.inputs; ++i) {
            const double term = static_cast<double>(x[t * c.inputs + i]) * w[r * c.inputs + i];
            sum += term;
            magnitude += std::fabs(term);
          }
          expected.push_back(sum);
          scales.push_back(magnitude);
        }
      }
      const double bound =
          UnitRoundoff(backend().activation_dtype()) + kFloatRoundoff * static_cast<double>(c.inputs + 1);
      EXPECT_TRUE(CloseBy(std::get<0>(y), expected, scales, {bound, "length of the sum times f32 roundoff"}));
    }
  }
}

// A product with 0 columns is a sum of nothing.
TEST_P(ForwardOpsConformance, LinearOverNoInputsIsTheBias) {
  const GuardedTensor x(backend(), 2, 0), w(backend(), 3, 0), y(backend(), 2, 3);
  const GuardedMatrix<float> bias(backend(), 1, 3, {1, 2, 3});

  ASSERT_TRUE(backend().forward().Linear(x.view(), w.view(), bias.view(), y.view()).ok());

  EXPECT_EQ(y.Read(), (std::vector<float>{1, 2, 3, 1, 2, 3}));
}

std::vector<double> RmsNorm64(const std::vector<float>& x, std::int64_t width, const std::vector<float>& weight,
                              double epsilon) {
  std::vector<double> y(x.size());
  for (std::size_t begin = 0; begin < x.size(); begin += width) {
    double sum = 0;
    for (std::int64_t c = 0; c < width; ++c) sum += static_cast<double>(x[begin + c]) * x[begin + c];
    for (std::int64_t c = 0; c < width; ++c) {
      y[begin + c] = x[begin + c] / std::sqrt(sum / static_cast<double>(width) + epsilon) * weight[c];
    }
  }
  return y;
}

TEST_P(ForwardOpsConformance, RmsNormDividesByTheRootMeanSquareOfEachRow) {
  for (auto [rows, cols] : {std::pair<std::int64_t, std::int64_t>{0, 7}, {1, 1}, {37, 576}, {3, 63}, {17, 1536}}) {
    SCOPED_TRACE(testing::Message() << rows << "x" << cols);
    auto x = Tensor(rows * cols, 4);
    if (rows > 2) std::fill_n(x.begin() + cols, cols, 0.0f);  // a row of zeros: epsilon keeps it finite
    const auto weight = TestRandom(5).Normals(cols);

    const auto y = OnEveryThreadCount([&, rows = rows, cols = cols](Backend& b) {
      const GuardedTensor x_device(b, rows, cols, x), y_device(b, rows, cols);
      const GuardedMatrix<float> weight_device(b, 1, cols, weight);
      EXPECT_TRUE(b.forward().RmsNorm(x_device.view(), weight_device.view(), 1e-5, y_device.view()).ok());
      EXPECT_TRUE(b.forward().RmsNorm(x_device.view(), weight_device.view(), 1e-5, x_device.view()).ok());
      return std::make_tuple(y_device.Read(), x_device.Read());
    });

    EXPECT_TRUE(Close(std::get<0>(y), RmsNorm64(x, cols, weight, 1e-5), Elementwise(backend())));
    EXPECT_EQ(std::get<0>(y), std::get<1>(y)) << "in place differs";
  }
}

TEST_P(ForwardOpsConformance, RmsNormHeadsNormalisesEveryHeadByItself) {
  const std::int64_t rows = 21, heads = 3, dim = 20;
  const auto x = Tensor(rows * heads * dim, 6);
  const auto weight = TestRandom(7).Normals(dim);

  const auto y = OnEveryThreadCount([&](Backend& b) {
    const GuardedTensor x_device(b, rows, heads * dim, x);
    const GuardedMatrix<float> weight_device(b, 1, dim, weight);
    EXPECT_TRUE(b.forward().RmsNormHeads(x_device.view(), heads, weight_device.view(), 1e-6).ok());
    return std::make_tuple(x_device.Read());
  });

  EXPECT_TRUE(Close(std::get<0>(y), RmsNorm64(x, dim, weight, 1e-6), Elementwise(backend())));
}

TEST_P(ForwardOpsConformance, ApplyRotaryTurnsHalvesAgainstEachOtherByPosition) {
  for (auto [heads, half] : {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 32}, {2, 5}}) {
    SCOPED_TRACE(testing::Message() << heads << " heads of " << 2 * half);
    const std::int64_t length = 9, rows = 2 * length, cols = heads * 2 * half;
    const auto x = Tensor(rows * cols, 8);
    const auto angles = TestRandom(9).Uniforms(length * half, -10, 10);
    std::vector<float> cosines, sines;
    for (float angle : angles) {
      cosines.push_back(std::cos(angle));
      sines.push_back(std::sin(angle));
    }

    const auto y = OnEveryThreadCount([&, heads = heads, half = half](Backend& b) {
      const GuardedTensor x_device(b, rows, cols, x);
      const GuardedMatrix<float> cosines_device(b, length, half, cosines), sines_device(b, length, half, sines);
      EXPECT_TRUE(b.forward()
                      .ApplyRotary(x_device.view(), static_cast<int>(heads), cosines_device.view(), sines_device.view())
                      .ok());
      return std::make_tuple(x_device.Read());
    });

    std::vector<double> expected(x.begin(), x.end());
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t head = 0; head < heads; ++head) {
        for (std::int64_t i = 0; i < half; ++i) {
          const std::int64_t low = r * cols + head * 2 * half + i, high = low + half;
          const double cosine = cosines[r % length * half + i], sine = sines[r % length * half + i];
          expected[low] = x[low] * cosine - x[high] * sine;
          expected[high] = x[high] * cosine + x[low] * sine;
        }
      }
    }
    EXPECT_TRUE(Close(std::get<0>(y), expected, Elementwise(backend())));
  }
}

TEST_P(ForwardOpsConformance, SwiGluHoldsOverTheWholeRangeOfTheGate) {
  const std::int64_t rows = 19, cols = 104;
  auto gate = RoundedTo(backend().activation_dtype(), TestRandom(10).Uniforms(rows * cols, -30, 30));
  gate[0] = -200;  // exp(-gate) overflows f32: silu is 0
  gate[1] = 200;
  gate[2] = 0;
  const auto up = Tensor(rows * cols, 11);

  const auto compute = [&](GuardedTensor::Rows rows_are) {
    return OnEveryThreadCount([&](Backend& b) {
      const GuardedTensor gate_device(b, rows, cols, gate, rows_are), up_device(b, rows, cols, up, rows_are);
      const GuardedTensor out_device(b, rows, cols, rows_are);
      EXPECT_TRUE(b.forward().SwiGlu(gate_device.view(), up_device.view(), out_device.view()).ok());
      EXPECT_TRUE(b.forward().SwiGlu(gate_device.view(), up_device.view(), gate_device.view()).ok());
      return std::make_tuple(out_device.Read(), gate_device.Read());
    });
  };
  const auto y = compute(GuardedTensor::Rows::kUnaligned);

  std::vector<double> expected, scales;
  for (std::size_t i = 0; i < gate.size(); ++i) {
    expected.push_back(gate[i] / (1.0 + std::exp(-static_cast<double>(gate[i]))) * up[i]);
    scales.push_back(std::fabs(expected.back()) + 1e-30);
  }
  EXPECT_TRUE(CloseBy(std::get<0>(y), expected, scales, Elementwise(backend())));
  EXPECT_EQ(std::get<0>(y), std::get<1>(y)) << "in place differs";
  EXPECT_EQ(y, compute(GuardedTensor::Rows::kAligned));
}

TEST_P(ForwardOpsConformance, AddInPlaceAddsEveryElementOnce) {
  const std::int64_t rows = 33, cols = 72;
  const auto x = Tensor(rows * cols, 12), y = Tensor(rows * cols, 13);

  const auto compute = [&](GuardedTensor::Rows rows_are) {
    return OnEveryThreadCount([&](Backend& b) {
      const GuardedTensor x_device(b, rows, cols, x, rows_are), y_device(b, rows, cols, y, rows_are);
      EXPECT_TRUE(b.forward().AddInPlace(x_device.view(), y_device.view()).ok());
      return std::make_tuple(y_device.Read());
    });
  };
  const auto sum = compute(GuardedTensor::Rows::kUnaligned);

  std::vector<double> expected;
  for (std::size_t i = 0; i < x.size(); ++i) expected.push_back(static_cast<double>(x[i]) + y[i]);
  EXPECT_TRUE(Close(std::get<0>(sum), expected, Elementwise(backend())));
  EXPECT_EQ(sum, compute(GuardedTensor::Rows::kAligned));
}

// Every half and every bfloat16 that is no NaN, as one matrix each.
std::vector<std::uint16_t> AllNumbers(DType dtype) {
  std::vector<std::uint16_t> numbers;
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto number = static_cast<std::uint16_t>(bits);
    const float value = dtype == DType::kF16 ? HalfToFloat(number) : Bf16ToFloat(number);
    numbers.push_back(std::isnan(value) ? 0 : number);
  }
  return numbers;
}

TEST_P(ForwardOpsConformance, ConvertWidensEveryStoredNumberExactly) {
  const std::int64_t rows = 256, cols = 256;
  for (DType dtype : {DType::kF16, DType::kBf16}) {
    const std::vector<std::uint16_t> numbers = AllNumbers(dtype);
    const GuardedMatrix<std::uint16_t> stored(backend(), rows, cols, numbers);
    const GuardedMatrix<float> wide(backend(), rows, cols);
    const MatrixView<std::uint16_t> x = stored.view();
    const MatrixView<float> y = wide.view();

    ASSERT_TRUE(backend()
                    .forward()
                    .Convert(ConstTensorView(x.data, dtype, rows, cols, x.stride),
                             TensorView(y.data, DType::kF32, rows, cols, y.stride))
                    .ok());

    const std::vector<float> values = wide.Read();
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      ASSERT_EQ(values[i], dtype == DType::kF16 ? HalfToFloat(numbers[i]) : Bf16ToFloat(numbers[i])) << numbers[i];
    }
  }
}

TEST_P(ForwardOpsConformance, ConvertMakesActivationsOfWhatIsStored) {
  const std::int64_t rows = 7, cols = 37;
  const std::vector<float> values = RoundedTo(DType::kF16, TestRandom(26).Normals(rows * cols));
  std::vector<std::uint16_t> halves, bf16s;
  for (float value : values) {
    halves.push_back(FloatToHalf(value));
    bf16s.push_back(FloatToBf16(value));
  }
  const GuardedMatrix<float> floats(backend(), rows, cols, values);
  const GuardedMatrix<std::uint16_t> half(backend(), rows, cols, halves), bf16(backend(), rows, cols, bf16s);
  const auto converted = [&](const void* data, DType dtype, std::int64_t stride) {
    const GuardedTensor y(backend(), rows, cols);
    EXPECT_TRUE(backend().forward().Convert(ConstTensorView(data, dtype, rows, cols, stride), y.view()).ok());
    return y.Read();
  };
  const std::vector<float> expected = RoundedTo(backend().activation_dtype(), values);

  EXPECT_EQ(converted(floats.view().data, DType::kF32, floats.view().stride), expected);
  EXPECT_EQ(converted(half.view().data, DType::kF16, half.view().stride), expected);
  EXPECT_EQ(converted(bf16.view().data, DType::kBf16, bf16.view().stride), RoundedTo(DType::kBf16, values));
}

TEST_P(ForwardOpsConformance, LogSumExpOfTilesIsThatOfTheWholeVocabulary) {
  const std::int64_t tokens = 70, dim = 48, vocabulary = 1300;
  const auto hidden = Tensor(tokens * dim, 14), head = Tensor(vocabulary * dim, 15);
  std::vector<std::int32_t> targets;
  TestRandom random(16);
  for (std::int64_t t = 0; t < tokens; ++t) targets.push_back(static_cast<std::int32_t>(random.Below(vocabulary)));
  targets[0] = 0;
  targets[1] = static_cast<std::int32_t>(vocabulary - 1);

  const auto state = OnEveryThreadCount([&](Backend& b) {
    const GuardedTensor hidden_device(b, tokens, dim, hidden), head_device(b, vocabulary, dim, head);
    const std::vector<float> lowest(tokens, -std::numeric_limits<float>::infinity()), zeros(tokens, 0.0f);
    const GuardedMatrix<float> max(b, tokens, 1, lowest), sum(b, tokens, 1, zeros), target_logit(b, tokens, 1);
    for (auto [begin, end] :
         {std::pair<std::int64_t, std::int64_t>{0, 700}, {700, 700}, {700, 701}, {701, vocabulary}}) {
      EXPECT_TRUE(b.forward()
                      .AccumulateLogSumExp(hidden_device.view(), head_device.view().Rows(begin, end - begin), begin,
                                           targets, {max.view(), sum.view(), target_logit.view()})
                      .ok());
    }
    return std::make_tuple(max.Read(), sum.Read(), target_logit.Read());
  });

  std::vector<float> actual;
  std::vector<double> expected, scales;
  for (std::int64_t t = 0; t < tokens; ++t) {
    double sum = 0, target_logit = 0;
    for (std::int64_t v = 0; v < vocabulary; ++v) {
      double logit = 0;
      for (std::int64_t i = 0; i < dim; ++i) logit += static_cast<double>(hidden[t * dim + i]) * head[v * dim + i];
      sum += std::exp(logit);
      if (v == targets[t]) target_logit = logit;
    }
    actual.push_back(std::get<0>(state)[t] + std::log(std::get<1>(state)[t]) - std::get<2>(state)[t]);
    expected.push_back(std::log(sum) - target_logit);
    scales.push_back(100.0);  // logits of 48 products of normal numbers reach 40, and their terms' magnitudes sum to 60
  }
  EXPECT_TRUE(CloseBy(actual, expected, scales, {64 * kFloatRoundoff, "sums of 48 products and of 1300 exponentials"}));
}

TEST_P(ForwardOpsConformance, RefusesShapesThatDoNotFit) {
  const GuardedTensor a(backend(), 4, 6), b(backend(), 4, 8);
  const GuardedMatrix<float> weight(backend(), 1, 7);
  ForwardOps& ops = backend().forward();
  const auto kInvalid = absl::StatusCode::kInvalidArgument;

  EXPECT_EQ(ops.Linear(a.view(), b.view(), {}, a.view()).code(), kInvalid);
  EXPECT_EQ(ops.RmsNorm(a.view(), weight.view(), 1e-5, a.view()).code(), kInvalid);
  EXPECT_EQ(ops.RmsNormHeads(a.view(), 4, weight.view(), 1e-5).code(), kInvalid);
  EXPECT_EQ(ops.ApplyRotary(a.view(), 2, weight.view(), weight.view()).code(), kInvalid);
  EXPECT_EQ(ops.SwiGlu(a.view(), b.view(), a.view()).code(), kInvalid);
  EXPECT_EQ(ops.AddInPlace(a.view(), b.view()).code(), kInvalid);
  EXPECT_EQ(ops.Convert(a.view(), b.view()).code(), kInvalid);
  EXPECT_EQ(
      ops.CausalAttention(a.view(), a.view(), a.view(),
                          {.sequence_length = 3, .head_count = 2, .kv_head_count = 2, .head_dim = 3, .score_scale = 1},
                          a.view())
          .code(),
      kInvalid);
  EXPECT_EQ(ops.AccumulateLogSumExp(a.view(), b.view(), 0, {}, {}).code(), kInvalid);
}

INSTANTIATE_TEST_SUITE_P(Backends, ForwardOpsConformance, testing::ValuesIn(BackendFactories()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptvq

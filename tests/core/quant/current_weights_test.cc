#include "core/quant/current_weights.h"

#include <vector>

#include "core/backend/device_matrix.h"
#include "gtest/gtest.h"
#include "tests/core/quant/dense_math.h"
#include "tests/core/quant/layer_case.h"
#include "tests/support/test_random.h"
#include "tests/support/tolerance.h"

namespace gptvq {
namespace {

constexpr std::int64_t kCols = 48;
constexpr std::int64_t kBegin = 16;
constexpr std::int64_t kWidth = 20;

// The free columns f that minimise e H e^T for given errors of the columns before kBegin: e_f = -e_fixed H_fixed,f H_ff^-1.
Dense Compensated(const Dense& weights, const Dense& fixed_error, const Dense& h) {
  const std::int64_t free = kCols - kBegin;
  Dense h_ff(free, free), h_xf(kBegin, free);
  for (std::int64_t c = 0; c < free; ++c) {
    for (std::int64_t r = 0; r < free; ++r) h_ff(r, c) = h(kBegin + r, kBegin + c);
    for (std::int64_t r = 0; r < kBegin; ++r) h_xf(r, c) = h(r, kBegin + c);
  }
  const Dense moved = Product(Product(fixed_error, h_xf), Inverse(h_ff));
  Dense result(weights.rows, kWidth);
  for (std::int64_t r = 0; r < weights.rows; ++r) {
    for (std::int64_t c = 0; c < kWidth; ++c) result(r, c) = weights(r, kBegin + c) + moved(r, c);
  }
  return result;
}

TEST(CurrentWeights, AreTheBestCompensationForTheErrorsOfEarlierColumns) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(6, kCols, 1);
  const Dense fixed_error(6, kBegin, TestRandom(2).Normals(6 * kBegin, 0.01));
  for (int d : {1, 2, 4}) {
    const QuantSpec spec = SmallSpec(d, 4);
    const PreparedHessian hessian = Prepare(*backend, layer, spec);
    Dense feedback(kCols, kCols);
    std::vector<float> values(kCols * kCols);
    ASSERT_TRUE(backend->CopyBytesToHost(hessian.feedback().data, values.data(), values.size() * sizeof(float)).ok());
    feedback.values.assign(values.begin(), values.end());
    Dense stripe(6, kWidth), targets(6, kWidth);
    for (std::int64_t r = 0; r < 6; ++r) {
      for (std::int64_t c = 0; c < kWidth; ++c) {
        stripe(r, c) = targets(r, c) = layer.weights(r, kBegin + c);
        for (std::int64_t j = 0; j < kBegin; ++j) targets(r, c) += fixed_error(r, j) * feedback(j, kBegin + c);
      }
    }
    const auto on_device = [&](const Dense& matrix) {
      return DeviceMatrix<float>::FromHost(*backend, Narrowed(matrix).data(), 6, kWidth).value();
    };
    const DeviceMatrix<float> device_stripe = on_device(stripe), device_targets = on_device(targets);
    CurrentWeights current = CurrentWeights::Make(*backend, 6, 32).value();

    const MatrixView<const float> got =
        current.At(hessian, kBegin, device_stripe.view(), device_targets.view()).value();

    const Dense expected = Compensated(layer.weights, fixed_error, Damped(layer.hessian, spec.damping));
    for (std::int64_t r = 0; r < 6; ++r) {
      for (std::int64_t c = 0; c < kWidth; ++c) EXPECT_NEAR(got.at(r, c), expected(r, c), 2e-6) << "d " << d;
    }
  }
}

TEST(CurrentWeights, OfTheFirstStripeAreTheWeights) {
  const auto backend = CpuForTests();
  const LayerCase layer = RandomLayer(3, 8, 3);
  const PreparedHessian hessian = Prepare(*backend, layer, SmallSpec(2, 4));
  const auto device = DeviceMatrix<float>::FromHost(*backend, layer.narrow.data(), 3, 8).value();
  CurrentWeights current = CurrentWeights::Make(*backend, 3, 8).value();

  const MatrixView<const float> got = current.At(hessian, 0, device.view(), device.view()).value();

  for (std::int64_t r = 0; r < 3; ++r) {
    for (std::int64_t c = 0; c < 8; ++c) EXPECT_EQ(got.at(r, c), layer.narrow[r * 8 + c]);
  }
}

}  // namespace
}  // namespace gptvq

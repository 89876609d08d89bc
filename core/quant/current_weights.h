#ifndef GPTVQ_CORE_QUANT_CURRENT_WEIGHTS_H_
#define GPTVQ_CORE_QUANT_CURRENT_WEIGHTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"
#include "core/base/matrix_view.h"
#include "core/quant/prepared_hessian.h"

namespace gptvq {

// The weights as the recursion of GPTQ holds them when it comes to a stripe S of columns: after the best compensation, by
// all columns that are still free, for the errors of the columns before S,
//   T_S = W_S + (P_S - W_S) M_SS^-1,
// P the targets of the sweep (core/quant/column_sweep.h) at that moment. P lacks what the stripe's own columns will feed
// back; T is where their targets are going to be, up to the rounding errors to come. Codebooks, block scales and grids of
// a stripe are therefore fitted to T.
// Owns scratch memory of the backend, which it borrows. Move-only. Thread-compatible.
class CurrentWeights {
 public:
  // For linears of `rows` rows and stripes of at most `max_width` columns.
  static absl::StatusOr<CurrentWeights> Make(Backend& backend, std::int64_t rows, std::int64_t max_width);

  // T_S for the stripe [begin, begin + weights.cols); weights W_S and targets P_S are [R, width]. The result is valid until
  // the next call. Costs 2 R width^2 + width^3 / 3 operations.
  absl::StatusOr<MatrixView<const float>> At(const PreparedHessian& hessian, std::int64_t begin,
                                             MatrixView<const float> weights, MatrixView<const float> targets);

 private:
  explicit CurrentWeights(Backend& backend) : backend_(&backend) {}

  Backend* backend_;
  DeviceMatrix<float> current_;    // [R, max_width]
  DeviceMatrix<float> deviation_;  // [R, max_width]: P - W
  DeviceMatrix<float> inverse_;    // [max_width, max_width]: M_SS^-1
  std::vector<double> host_inverse_;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_QUANT_CURRENT_WEIGHTS_H_

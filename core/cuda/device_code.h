#ifndef GPTVQ_CORE_CUDA_DEVICE_CODE_H_
#define GPTVQ_CORE_CUDA_DEVICE_CODE_H_

#include <cstdint>

#include "core/backend/code_formulas.h"
#include "core/backend/host_device.h"
#include "core/backend/quant_ops.h"

namespace gptvq::cuda {

// A stripe, as DeviceCode computes it.
struct DeviceStripe {
  std::int64_t column_begin = 0;
  std::int64_t column_end = 0;
  std::int64_t first_group = 0;
  std::int64_t row_block_count = 0;
};

// VectorCode as a kernel parameter: plain numbers and pointers to device memory. Every stripe of a GroupLayout
// but the last has the same width and the same number of row blocks, so the group of a weight is arithmetic and
// needs no table. Borrows the block scales. Immutable. Limits: fewer than 2^32 columns.
struct DeviceCode {
  int vector_dim = 0;
  int centroid_count = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stripe_count = 0;
  std::int64_t stripe_columns = 0;     // of every stripe but the last
  std::int64_t stripe_row_blocks = 0;  // of every stripe but the last
  std::int64_t last_row_blocks = 0;    // of the last stripe
  const float* scales = nullptr;       // device; null: all scales are 1
  std::int64_t scale_stride = 0;
  int scale_columns = 0;

  GPTVQ_HD std::int64_t StripeIndexAt(std::int64_t column) const {
    const std::int64_t index = column / stripe_columns;
    return index < stripe_count ? index : stripe_count - 1;
  }
  GPTVQ_HD DeviceStripe Stripe(std::int64_t index) const {
    const bool last = index + 1 == stripe_count;
    return {index * stripe_columns, last ? cols : (index + 1) * stripe_columns, index * stripe_row_blocks,
            last ? last_row_blocks : stripe_row_blocks};
  }
  GPTVQ_HD std::int64_t GroupOf(const DeviceStripe& stripe, std::int64_t row) const {
    return stripe.first_group + RowBlockOf(row, rows, stripe.row_block_count);
  }
  // First row of a row block; row_block_count gives `rows`.
  GPTVQ_HD std::int64_t RowBlockBegin(const DeviceStripe& stripe, std::int64_t block) const {
    return block * rows / stripe.row_block_count;
  }
  GPTVQ_HD float ScaleAt(std::int64_t row, std::int64_t column) const {
    if (scales == nullptr) return 1.0f;
    return scales[row * scale_stride + static_cast<std::uint32_t>(column) / static_cast<std::uint32_t>(scale_columns)];
  }
};

// Precondition: the code passed the checks of core/backend/quant_checks.h.
DeviceCode MakeDeviceCode(const VectorCode& code);

}  // namespace gptvq::cuda

#endif  // GPTVQ_CORE_CUDA_DEVICE_CODE_H_

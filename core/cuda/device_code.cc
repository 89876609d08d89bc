#include "core/cuda/device_code.h"

#include "core/base/check.h"

namespace gptvq::cuda {

DeviceCode MakeDeviceCode(const VectorCode& code) {
  const std::vector<gptvq::Stripe>& stripes = code.layout->stripes();
  DeviceCode device;
  device.vector_dim = code.vector_dim;
  device.centroid_count = 1 << code.index_bits;
  device.rows = code.layout->rows();
  device.cols = code.layout->cols();
  device.stripe_count = static_cast<std::int64_t>(stripes.size());
  device.stripe_columns = stripes.front().column_count;
  device.stripe_row_blocks = stripes.front().row_block_count;
  device.last_row_blocks = stripes.back().row_block_count;
  if (code.block_scale_columns > 0) {
    device.scales = code.block_scales.data;
    device.scale_stride = code.block_scales.stride;
    device.scale_columns = code.block_scale_columns;
  }
  for (std::int64_t s = 0; s < device.stripe_count; ++s) {
    const DeviceStripe computed = device.Stripe(s);
    const gptvq::Stripe& stripe = stripes[static_cast<std::size_t>(s)];
    GPTVQ_CHECK(computed.column_begin == stripe.column_begin &&
                computed.column_end == stripe.column_begin + stripe.column_count &&
                computed.first_group == stripe.first_group && computed.row_block_count == stripe.row_block_count);
  }
  return device;
}

}  // namespace gptvq::cuda

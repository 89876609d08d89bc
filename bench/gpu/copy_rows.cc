// How the weights of a layer get to the device: when their turn has come, in f32, or ahead, as they are stored; and what the
// latter costs those who compute meanwhile.
#include <cstdint>
#include <cstring>
#include <memory>
#include <stop_token>
#include <vector>

#include "bench/gpu/gpu_table.h"
#include "core/backend/upload_lane.h"
#include "core/base/background_call.h"

namespace gptvq {
namespace {

// The linears of a layer as bfloat16, to a new piece of memory each.
absl::Status UploadLayer(UploadLane& lane, const ModelShape& shape, const std::vector<std::byte>& stored) {
  const auto fill = [&](std::uint64_t offset, absl::Span<std::byte> piece_out) {
    std::memcpy(piece_out.data(), stored.data() + offset, piece_out.size());
    return absl::OkStatus();
  };
  for (const LinearOfShape& linear : LinearsOf(shape)) {
    for (int i = 0; i < static_cast<int>(linear.count); ++i) {
      const absl::Status status = lane.Upload(2 * linear.rows * linear.cols, fill).status();
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace

void AddCopyRows(GpuTable& table) {
  Backend& backend = table.backend();
  const ModelShape& shape = table.shape();
  const std::int64_t rows = shape.feed_forward, cols = shape.hidden, tokens = shape.chunk;
  const double weights = shape.layer_weights();
  const std::vector<float> read(static_cast<std::size_t>(rows * cols), 0.25f);
  DeviceTensor w = DeviceTensor::Allocate(backend, rows, cols).value();
  table.Row("weights of gate, when needed, in f32", {0, 4.0 * static_cast<double>(rows * cols)}, GpuRoof::kCopy, 0,
            [&] {
              return backend.CopyFromHost({read.data(), rows, cols}, w.view());
            });

  const std::unique_ptr<UploadLane> lane = backend.MakeUploadLane().value();
  const std::vector<std::byte> stored(static_cast<std::size_t>(2 * rows * cols));  // of the largest linear
  table.Row("weights of a layer, ahead, in bf16", {0, 2 * weights}, GpuRoof::kCopy, 0,
            [&] { return UploadLayer(*lane, shape, stored); });

  const DeviceTensor x = GpuNormalTensor(backend, tokens, cols, 18);
  DeviceTensor y = DeviceTensor::Allocate(backend, tokens, rows).value();
  const double t = static_cast<double>(tokens), r = static_cast<double>(rows), c = static_cast<double>(cols);
  absl::Status uploaded;
  {
    const BackgroundCall<bool> uploads([&](const std::stop_token& stop) {
      while (uploaded.ok() && !stop.stop_requested()) uploaded = UploadLayer(*lane, shape, stored);
      return true;
    });
    table.Row("Linear gate beside such copies", {2 * t * r * c, 2 * (t * c + r * c + t * r)}, GpuRoof::kBf16, 0,
              [&] { return backend.forward().Linear(x.view(), w.view(), {}, y.view()); });
  }
  Check(uploaded, "uploads");
}

}  // namespace gptvq

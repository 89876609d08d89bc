#include "core/pipeline/layer_upload.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "core/base/dtype.h"
#include "core/base/status_macros.h"
#include "core/model/linear_role.h"
#include "core/model/model_tensors.h"

namespace gptvq {
namespace {

std::uint64_t CountNotFinite(DType dtype, absl::Span<const std::byte> stored) {
  std::array<float, 4096> values;
  const std::size_t step = values.size() * DTypeBytes(dtype);
  std::uint64_t count = 0;
  for (std::size_t begin = 0; begin < stored.size(); begin += step) {
    const absl::Span<const std::byte> bytes = stored.subspan(begin, step);
    const auto decoded = absl::MakeSpan(values).subspan(0, bytes.size() / DTypeBytes(dtype));
    DecodeToFloat(dtype, bytes, decoded);
    count += static_cast<std::uint64_t>(
        std::count_if(decoded.begin(), decoded.end(), [](float value) { return !std::isfinite(value); }));
  }
  return count;
}

absl::StatusOr<DeviceTensor> UploadTensor(const Checkpoint& held, const TensorInfo& tensor, UploadLane& lane,
                                          const std::stop_token& stop) {
  std::uint64_t not_finite = 0;
  GPTVQ_ASSIGN_OR_RETURN(
      std::unique_ptr<DeviceMemory> memory,
      lane.Upload(tensor.byte_count(), [&](std::uint64_t offset, absl::Span<std::byte> piece_out) -> absl::Status {
        if (stop.stop_requested()) return absl::CancelledError("nobody waits for the layer any more");
        GPTVQ_RETURN_IF_ERROR(held.ReadBytes(tensor.name, offset, piece_out));
        not_finite += CountNotFinite(tensor.dtype, piece_out);
        return absl::OkStatus();
      }));
  GPTVQ_RETURN_IF_ERROR(CheckAllFinite(tensor, static_cast<std::int64_t>(not_finite)));
  return DeviceTensor(std::move(memory), tensor.dtype, tensor.shape[0], tensor.shape[1]);
}

absl::StatusOr<StoredLinears> UploadTo(UploadLane& lane, const Checkpoint& held, absl::Span<const TensorInfo> tensors,
                                       const std::stop_token& stop) {
  StoredLinears linears;
  for (std::size_t i = 0; i < linears.size(); ++i) {
    GPTVQ_ASSIGN_OR_RETURN(linears[i], UploadTensor(held, tensors[i], lane, stop));
  }
  return linears;
}

}  // namespace

absl::StatusOr<UploadLanes> MakeUploadLanes(const Team& team, std::uint64_t needed_bytes) {
  UploadLanes lanes;
  for (int rank = 0; rank < team.size(); ++rank) {
    absl::StatusOr<std::unique_ptr<UploadLane>> lane = team.backend(rank).MakeUploadLane();
    if (absl::IsResourceExhausted(lane.status())) return UploadLanes();
    GPTVQ_RETURN_IF_ERROR(lane.status());
    if (*lane == nullptr) return UploadLanes();
    GPTVQ_ASSIGN_OR_RETURN(const std::uint64_t capacity_bytes, team.backend(rank).CapacityBytes());
    if (capacity_bytes < needed_bytes) return UploadLanes();
    lanes.push_back(*std::move(lane));
  }
  return lanes;
}

absl::StatusOr<std::vector<StoredLinears>> UploadLinears(const Checkpoint& held, int layer, const UploadLanes& lanes,
                                                         const std::stop_token& stop) {
  std::vector<StoredLinears> of_ranks;
  std::vector<TensorInfo> tensors;
  for (LinearRole role : kLinearRoles) {
    GPTVQ_ASSIGN_OR_RETURN(TensorInfo tensor, held.Get(WeightTensor(layer, role)));
    if (tensor.dtype == DType::kF64) return of_ranks;
    tensors.push_back(std::move(tensor));
  }
  for (const std::unique_ptr<UploadLane>& lane : lanes) {
    absl::StatusOr<StoredLinears> linears = UploadTo(*lane, held, tensors, stop);
    if (absl::IsResourceExhausted(linears.status())) return std::vector<StoredLinears>();
    GPTVQ_RETURN_IF_ERROR(linears.status());
    of_ranks.push_back(*std::move(linears));
  }
  return of_ranks;
}

}  // namespace gptvq

#ifndef GPTVQ_CORE_PIPELINE_LAYER_UPLOAD_H_
#define GPTVQ_CORE_PIPELINE_LAYER_UPLOAD_H_

#include <cstdint>
#include <memory>
#include <stop_token>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/backend/team.h"
#include "core/backend/upload_lane.h"
#include "core/format/checkpoint.h"
#include "core/model/decoder_layer.h"

namespace gptvq {

// A way into the memory of every rank of a team, by ranks; none where nothing is gained.
using UploadLanes = std::vector<std::unique_ptr<UploadLane>>;

// None where the memory is the host's, where a device has less than `needed_bytes` for this job, and where the host has no
// memory to lock: then layers are copied when their turn has come. Errors: other ones of Backend::MakeUploadLane. The team
// outlives the lanes.
absl::StatusOr<UploadLanes> MakeUploadLanes(const Team& team, std::uint64_t needed_bytes);

// Brings the linears of a layer that is held in host memory to the memory of every rank, as they are stored. Empty when there
// are no lanes, when one is stored as f64, which no backend converts, and when a device has no room after all.
// Errors: InvalidArgument, as ReadTensor, for values that are not finite; Cancelled when a stop was requested; those of lanes.
absl::StatusOr<std::vector<StoredLinears>> UploadLinears(const Checkpoint& held, int layer, const UploadLanes& lanes,
                                                         const std::stop_token& stop);

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_LAYER_UPLOAD_H_

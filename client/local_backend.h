#ifndef GPTVQ_CLIENT_LOCAL_BACKEND_H_
#define GPTVQ_CLIENT_LOCAL_BACKEND_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "platform/device_choice.h"

namespace gptvq {

// The place for commands that compute by themselves: one GPU, the first of those that the choice means, or the CPU with so
// many threads, 0 for one per core.
// Errors: InvalidArgument when the choice names several GPUs; those of MakeDeviceSlots.
absl::StatusOr<std::unique_ptr<Backend>> MakeLocalBackend(const DeviceChoice& device, int threads);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_LOCAL_BACKEND_H_

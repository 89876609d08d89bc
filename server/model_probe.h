#ifndef GPTVQ_SERVER_MODEL_PROBE_H_
#define GPTVQ_SERVER_MODEL_PROBE_H_

#include <string_view>

#include "absl/status/statusor.h"

namespace gptvq {

// Looks at a model before a job is accepted, so that an unusable one is refused at submit. Thread-safe.
class ModelProbe {
 public:
  virtual ~ModelProbe() = default;

  // Number of decoder layers of the model at `model_uri`, at least 1.
  // Errors: NotFound (no model there), InvalidArgument (malformed, or of a kind that is not supported; the message lists what
  // was not recognised), PermissionDenied, Unavailable (the storage did not answer).
  virtual absl::StatusOr<int> CountLayers(std::string_view model_uri) = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_MODEL_PROBE_H_

#ifndef GPTVQ_SERVER_MODEL_PROBE_H_
#define GPTVQ_SERVER_MODEL_PROBE_H_

#include <string_view>

#include "absl/status/statusor.h"

namespace gptvq {

// Looks at the places that a job names before it is accepted, so that what can not work is refused at submit. Thread-safe.
class ModelProbe {
 public:
  virtual ~ModelProbe() = default;

  // Number of decoder layers of the model at `model_uri`, at least 1.
  // Errors: NotFound (no model there), InvalidArgument (malformed, or of a kind that is not supported; the message lists what
  // was not recognised), PermissionDenied, Unavailable (the storage did not answer).
  virtual absl::StatusOr<int> CountLayers(std::string_view model_uri) = 0;

  // Whether there is a file at `text_uri`; what it holds is for the workers to judge.
  // Errors: NotFound, FailedPrecondition (a directory, a pipe, a device), PermissionDenied, Unavailable.
  virtual absl::Status CheckText(std::string_view text_uri) = 0;

  // Whether nothing is in the way of a result at `output_uri`. Changes nothing.
  // Errors: FailedPrecondition (a file, where a directory is needed), PermissionDenied, Unavailable.
  virtual absl::Status CheckOutput(std::string_view output_uri) = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_MODEL_PROBE_H_

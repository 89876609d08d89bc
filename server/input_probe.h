#ifndef GPTVQ_SERVER_INPUT_PROBE_H_
#define GPTVQ_SERVER_INPUT_PROBE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model/model_config.h"

namespace gptvq {

// What a submit has to know of a model.
struct ModelSummary {
  int layer_count = 0;                     // decoder layers, at least 1
  std::vector<std::string> warnings = {};  // oddities that do not make it unusable, one sentence each
  ModelConfig config = {};
  int bytes_per_weight = 2;  // as the weights of linears are stored
};

// Looks at the places that a job names before it is accepted, so that what can not work is refused at submit. Thread-safe.
class InputProbe {
 public:
  virtual ~InputProbe() = default;

  // Opens the model at `model_uri` as far as its headers.
  // Errors: NotFound (no model there), InvalidArgument (malformed, or of a kind that is not supported; the message lists what
  // was not recognised), PermissionDenied, Unavailable (the storage did not answer).
  virtual absl::StatusOr<ModelSummary> SummarizeModel(std::string_view model_uri) = 0;

  // Whether there is a file at `text_uri`; what it holds is for the workers to judge.
  // Errors: NotFound, FailedPrecondition (a directory, a pipe, a device), PermissionDenied, Unavailable.
  virtual absl::Status CheckText(std::string_view text_uri) = 0;

  // Whether nothing is in the way of a result at `output_uri`. Changes nothing.
  // Errors: FailedPrecondition (a file, where a directory is needed; a result of an earlier job), PermissionDenied,
  // Unavailable.
  virtual absl::Status CheckOutput(std::string_view output_uri) = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_INPUT_PROBE_H_

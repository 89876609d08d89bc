#include "client/job_flags.h"

#include "core/base/status_macros.h"
#include "platform/object_store/object_uri.h"

namespace gptvq {
namespace {

// A location as a URI: local paths become absolute file:// URIs.
absl::StatusOr<std::string> FlagUri(const char* flag, const std::string& location) {
  const absl::StatusOr<ObjectUri> uri = ObjectUri::ParseArgument(location);
  if (!uri.ok()) return WithContext(uri.status(), flag);
  // A path of this machine may hold any bytes; what is told to a coordinator may not.
  const std::string text = uri->ToString();
  GPTVQ_RETURN_IF_ERROR(WithContext(ObjectUri::Parse(text).status(), flag));
  return text;
}

}  // namespace

absl::StatusOr<JobSpec> MakeJobSpec(const JobFlags& flags) {
  JobSpec spec;
  GPTVQ_ASSIGN_OR_RETURN(spec.model_uri, FlagUri("--model", flags.model));
  for (const std::string& location : flags.calibration) {
    GPTVQ_ASSIGN_OR_RETURN(std::string uri, FlagUri("--calibration", location));
    spec.calibration_uris.push_back(std::move(uri));
  }
  if (!flags.evaluation.empty()) {
    GPTVQ_ASSIGN_OR_RETURN(spec.evaluation_uri, FlagUri("--evaluation", flags.evaluation));
  }
  GPTVQ_ASSIGN_OR_RETURN(spec.output_uri, FlagUri("--output", flags.output));
  spec.preset = flags.spec.preset;
  GPTVQ_ASSIGN_OR_RETURN(spec.quant, ResolveSpec(flags.spec));
  spec.propagation = flags.propagation;
  spec.shard_layers = flags.shard_layers;
  spec.samples = flags.samples;
  spec.sequence_length = flags.sequence_length;
  spec.evaluation_tokens = flags.evaluation_tokens;
  spec.seed = flags.seed;
  GPTVQ_RETURN_IF_ERROR(spec.Validate());
  return spec;
}

}  // namespace gptvq

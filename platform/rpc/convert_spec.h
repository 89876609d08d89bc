#ifndef GPTVQ_PLATFORM_RPC_CONVERT_SPEC_H_
#define GPTVQ_PLATFORM_RPC_CONVERT_SPEC_H_

#include <string>

#include "absl/status/statusor.h"
#include "gptvq/v1/job.pb.h"
#include "gptvq/v1/quant_spec.pb.h"
#include "platform/job/job_spec.h"

namespace gptvq {

// Specs across the wire. FromProto(ToProto(x)) == x for every valid x. Pure.

struct NamedQuantSpec {
  std::string preset;  // may be empty
  QuantSpec spec;
};

// Every field present.
v1::QuantSpec ToProto(const NamedQuantSpec& named);
v1::JobSpec ToProto(const JobSpec& spec);
v1::PropagationMode ToProto(PropagationMode mode);

// Absent knobs come from the preset. Errors: InvalidArgument (INVALID_FIELD) for an unknown preset or enum value, and for
// whatever JobSpec::Validate() refuses, naming the field.
absl::StatusOr<NamedQuantSpec> FromProto(const v1::QuantSpec& proto);
absl::StatusOr<JobSpec> FromProto(const v1::JobSpec& proto);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_RPC_CONVERT_SPEC_H_

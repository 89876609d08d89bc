#ifndef GPTVQ_CLIENT_JOB_FLAGS_H_
#define GPTVQ_CLIENT_JOB_FLAGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/spec_flags.h"
#include "platform/job/job_spec.h"

namespace gptvq {

// The flags of submit and quantize, as typed.
struct JobFlags {
  std::string model;
  std::vector<std::string> calibration;
  std::string evaluation;
  std::string output;
  SpecFlags spec;
  PropagationMode propagation = PropagationMode::kSequential;
  int shard_layers = 0;
  int samples = 128;
  int sequence_length = 2048;
  std::int64_t evaluation_tokens = 0;
  std::uint64_t seed = 0;
};

// The job the flags describe: local paths become absolute file:// URIs, the preset and its overrides one
// spec. Errors: InvalidArgument naming the flag or the field.
absl::StatusOr<JobSpec> MakeJobSpec(const JobFlags& flags);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_JOB_FLAGS_H_

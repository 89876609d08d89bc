#ifndef GPTVQ_PLATFORM_JOB_JOB_SPEC_H_
#define GPTVQ_PLATFORM_JOB_JOB_SPEC_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// How calibration activations reach a layer (docs/architecture.md).
enum class PropagationMode {
  kSequential,  // through the quantized layers before it: one chain of shards
  kParallel,    // through the source model up to the shard: shards are independent
};

std::string_view Name(PropagationMode mode);  // sequential, parallel

// What a client asks for: the whole input of a job. Plain value; the C++ twin of gptvq.v1.JobSpec, where the fields are
// described.
struct JobSpec {
  std::string model_uri;
  std::vector<std::string> calibration_uris;
  std::string evaluation_uri;  // empty: nothing is evaluated
  std::string output_uri;
  std::string preset;  // name that `quant` was built from, for people; may be empty
  QuantSpec quant;
  PropagationMode propagation = PropagationMode::kSequential;
  int shard_layers = 0;        // 0: chosen by the planner
  int samples = 128;           // calibration rows
  int sequence_length = 2048;  // tokens per row
  std::uint64_t seed = 0;
  std::int64_t evaluation_tokens = 0;  // at most so many are measured; 0: all

  // Everything that can be said without opening a file.
  // Errors: InvalidArgument naming the field, its value and what is allowed.
  absl::Status Validate() const;

  friend bool operator==(const JobSpec&, const JobSpec&) = default;
};

inline constexpr int kMaxSpecUriBytes = 1024;
inline constexpr int kMaxCalibrationUris = 16;
inline constexpr int kMaxSamples = 65'536;
inline constexpr int kMaxSequenceLength = 131'072;
inline constexpr std::int64_t kMaxCalibrationTokens = std::int64_t{1} << 28;

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_JOB_SPEC_H_

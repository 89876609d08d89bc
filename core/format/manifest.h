#ifndef GPTVQ_CORE_FORMAT_MANIFEST_H_
#define GPTVQ_CORE_FORMAT_MANIFEST_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/sha256.h"
#include "core/spec/bits_per_value.h"
#include "core/spec/linear_report.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

inline constexpr std::string_view kManifestFile = "gptvq_manifest.json";
inline constexpr std::uint64_t kMaxManifestBytes = 256 << 20;  // a longer file is none

// What the work was, known to whoever ordered it. Plain value.
struct ManifestFacts {
  std::string tool_version;
  QuantSpec spec;
  std::uint64_t seed = 0;
  Digest calibration;                          // of the token ids
  std::string propagation;                     // "sequential" or "parallel"
  int shard_layers = 0;                        // decoder layers of a shard
  std::string numerics_class;                  // names the implementation that computed
  std::map<std::string, Digest> source_files;  // weights and config.json of the source model
  std::vector<LinearReport> linears;           // of every packed linear; seconds are not written
};

// gptvq_manifest.json (docs/format.md section 9): what identifies a result. Plain value.
struct Manifest {
  ManifestFacts facts;
  BitCount bits;                        // of all packed linears
  std::map<std::string, Digest> files;  // every file of the directory but the manifest
};

// Canonical text: a pure function of the value, without time, host or path.
// Errors: InvalidArgument naming the linear when a metric is not finite.
absl::StatusOr<std::string> ManifestText(const Manifest& manifest);

// The inverse; unknown keys are ignored. Errors: InvalidArgument naming the key, or above 256 MiB; Unimplemented
// for another major version.
absl::StatusOr<Manifest> ParseManifest(std::string_view text);

}  // namespace gptvq

#endif  // GPTVQ_CORE_FORMAT_MANIFEST_H_

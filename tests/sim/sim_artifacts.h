#ifndef GPTVQ_TESTS_SIM_SIM_ARTIFACTS_H_
#define GPTVQ_TESTS_SIM_SIM_ARTIFACTS_H_

#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "platform/job/job_spec.h"

namespace gptvq {

// The bytes that simulated work makes: the same whoever computes them, as in one numerics class. Jobs with equal seeds make equal
// bytes, so that garbage of one may be what another needs.

inline std::string SimLayer(const JobSpec& spec, int layer) {
  return "seed " + std::to_string(spec.seed) + " layer " + std::to_string(layer);
}

inline std::string SimBoundary(const JobSpec& spec, int layer) { return SimLayer(spec, layer) + " boundary"; }

inline constexpr int kSimLinears = 3;  // of a layer that may be finished before all are

inline std::string SimCheckpoint(const JobSpec& spec, int layer, int linears) {
  return SimLayer(spec, layer) + " linears " + std::to_string(linears);
}

// Names the layers' artifacts, in order.
inline Digest SimManifest(const std::vector<Digest>& layers) {
  std::string text;
  for (const Digest& layer : layers) text += layer.hex();
  return Digest::Of(AsBytes(text));
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SIM_ARTIFACTS_H_

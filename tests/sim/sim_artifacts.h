#ifndef GPTVQ_TESTS_SIM_SIM_ARTIFACTS_H_
#define GPTVQ_TESTS_SIM_SIM_ARTIFACTS_H_

#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"
#include "core/base/sha256.h"

namespace gptvq {

// The bytes that simulated work makes: the same whoever computes them, as in one numerics class.

inline std::string SimLayer(std::string_view job_id, int layer) {
  return std::string(job_id) + " layer " + std::to_string(layer);
}

inline std::string SimBoundary(std::string_view task_id) { return "boundary of " + std::string(task_id); }

// Names the layers' artifacts, in order.
inline Digest SimManifest(const std::vector<Digest>& layers) {
  std::string text;
  for (const Digest& layer : layers) text += layer.hex();
  return Digest::Of(AsBytes(text));
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SIM_ARTIFACTS_H_

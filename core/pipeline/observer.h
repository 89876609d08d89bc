#ifndef GPTVQ_CORE_PIPELINE_OBSERVER_H_
#define GPTVQ_CORE_PIPELINE_OBSERVER_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/spec/linear_report.h"

namespace gptvq {

// Where a stage of a job is. Plain value.
struct Progress {
  int layer = 0;          // decoder layer at work; the number of layers once the last is done
  std::string_view step;  // "load", "capture", "replay", "calibrate", "propagate", "publish"; or the linear's name
  double fraction = 0;    // of the whole stage, 0 to 1, never falling
};

// Told by a stage what it does. A status other than OK ends the stage with that status: this is how a lost lease or a
// cancellation stops the work. The two functions are called on different threads, and at the same time.
class StageObserver {
 public:
  virtual ~StageObserver() = default;

  // On the thread that computes; at least once per linear and per chunk of calibration rows, so within seconds even on
  // a CPU. "load" and "publish" come before the stage waits for storage and for OnLayerQuantized.
  virtual absl::Status OnProgress(const Progress& progress) = 0;

  // A layer is quantized: `packed` is its artifact (docs/format.md, "Layer artifact"), the same bytes whoever computes it.
  // One call at a time, in order of layers, on a thread of its own: the next layer is computed meanwhile. All calls have
  // returned when the stage does, and an error here comes before one of the layer after.
  virtual absl::Status OnLayerQuantized(int layer, std::string packed, const std::vector<LinearReport>& reports) = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_OBSERVER_H_

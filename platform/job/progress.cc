#include "platform/job/progress.h"

#include <algorithm>

namespace gptvq {
namespace {

constexpr double kQuantizeWork = 10;

}  // namespace

double WorkOf(TaskKind kind, LayerRange layers) {
  const double layer_count = std::max(1, layers.count());
  switch (kind) {
    case TaskKind::kQuantize:
    case TaskKind::kAudit: return kQuantizeWork * layer_count;
    case TaskKind::kCapture:
    case TaskKind::kEvaluate: return layer_count;
    case TaskKind::kFinalize: return 1;
  }
  return 1;
}

double DoneFraction(TaskState state, const TaskProgress& progress) {
  return state == TaskState::kCommitted ? 1 : std::clamp(progress.fraction, 0.0, 1.0);
}

}  // namespace gptvq

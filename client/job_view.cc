#include "client/job_view.h"

#include <algorithm>

namespace gptvq {
namespace {

constexpr double kQuantizeWeight = 10;

double Weight(const TaskView& task) {
  const int layers = std::max(1, task.layers.count());
  switch (task.kind) {
    case TaskKind::kQuantize: return kQuantizeWeight * layers;
    case TaskKind::kCapture:
    case TaskKind::kEvaluate: return layers;
    case TaskKind::kFinalize: return 1;
  }
  return 1;
}

}  // namespace

double DoneFraction(const TaskView& task) {
  return task.state == TaskState::kCommitted ? 1 : std::clamp(task.progress.fraction, 0.0, 1.0);
}

double DoneFraction(const JobView& job) {
  if (job.state == JobState::kSucceeded) return 1;
  double total = 0;
  double done = 0;
  for (const TaskView& task : job.tasks) {
    total += Weight(task);
    done += Weight(task) * DoneFraction(task);
  }
  if (total > 0) return done / total;
  return job.layer_count > 0 ? static_cast<double>(job.published_layers) / job.layer_count : 0;
}

}  // namespace gptvq

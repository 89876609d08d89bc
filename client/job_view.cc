#include "client/job_view.h"

#include "platform/job/progress.h"

namespace gptvq {

double DoneFraction(const TaskView& task) { return DoneFraction(task.state, task.progress); }

double DoneFraction(const JobView& job) {
  if (job.state == JobState::kSucceeded) return 1;
  double total = 0;
  double done = 0;
  for (const TaskView& task : job.tasks) {
    const double work = WorkOf(task.kind, task.layers);
    total += work;
    done += work * DoneFraction(task);
  }
  if (total > 0) return done / total;
  return job.layer_count > 0 ? static_cast<double>(job.published_layers) / job.layer_count : 0;
}

}  // namespace gptvq

#ifndef GPTVQ_PLATFORM_JOB_PROGRESS_H_
#define GPTVQ_PLATFORM_JOB_PROGRESS_H_

#include "core/pipeline/layer_range.h"
#include "platform/job/task.h"

namespace gptvq {

// How far jobs are, the same for the coordinator's metrics and the client's display. Pure.

// What a task costs beside the others of its job: 10 for each layer to quantize, 1 for each to capture or to evaluate, 1
// to finalize.
double WorkOf(TaskKind kind, LayerRange layers);

// Share of a task that is done, 0 to 1.
double DoneFraction(TaskState state, const TaskProgress& progress);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_PROGRESS_H_

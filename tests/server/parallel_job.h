#ifndef GPTVQ_TESTS_SERVER_PARALLEL_JOB_H_
#define GPTVQ_TESTS_SERVER_PARALLEL_JOB_H_

#include <string>

#include "server/planner.h"
#include "server/scheduler/events.h"
#include "tests/support/job_builders.h"

namespace gptvq {

// What the job below publishes as its layers.
inline Digest Layer(int layer) { return DigestOf("layer " + std::to_string(layer)); }

// Four layers in two shards: capture-0 leaves the boundary that quantize-1 reads.
inline SubmitJob AParallelJob(const std::string& job_id) {
  SubmitJob event;
  event.job.job_id = job_id;
  event.job.request_id = "r-" + job_id;
  event.job.spec = AJobSpec();
  event.job.spec.propagation = PropagationMode::kParallel;
  event.job.spec.shard_layers = 2;
  event.job.spec.evaluation_uri = "";
  event.job.layer_count = 4;
  event.tasks = PlanJob(event.job.spec, 4, job_id)->tasks;
  return event;
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SERVER_PARALLEL_JOB_H_

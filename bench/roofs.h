#ifndef GPTVQ_BENCH_ROOFS_H_
#define GPTVQ_BENCH_ROOFS_H_

#include "absl/functional/function_ref.h"
#include "bench/bench_support.h"
#include "core/base/worker_pool.h"

namespace gptvq {

struct Elapsed {
  double wall_seconds = 0;
  double processor_seconds = 0;  // of all threads of the process
};
Elapsed Time(absl::FunctionRef<void()> body);

// The best of several rounds by processor time: a roof is what the machine can do, not what it did. Takes about two seconds.
Roofs MeasureRoofs(WorkerPool& pool);

}  // namespace gptvq

#endif  // GPTVQ_BENCH_ROOFS_H_

#ifndef GPTVQ_CORE_CPU_PARALLEL_ROWS_H_
#define GPTVQ_CORE_CPU_PARALLEL_ROWS_H_

#include <algorithm>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "core/base/worker_pool.h"

namespace gptvq {

// Calls body(r) for every row, in parallel, a few rows per task: for operations that touch every element once or twice.
inline void ForEachRow(WorkerPool& pool, std::int64_t rows, absl::FunctionRef<void(std::int64_t)> body) {
  constexpr std::int64_t kRowsPerTask = 16;
  pool.ParallelFor((rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    for (std::int64_t r = task * kRowsPerTask; r < std::min(rows, (task + 1) * kRowsPerTask); ++r) body(r);
  });
}

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_PARALLEL_ROWS_H_

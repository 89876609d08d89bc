#ifndef GPTVQ_CORE_PIPELINE_SIDE_BY_SIDE_H_
#define GPTVQ_CORE_PIPELINE_SIDE_BY_SIDE_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace gptvq {

// Items of work as RunSideBySide does them; borrows.
struct SideBySideWork {
  // Before an item is begun, on the calling thread, in order of items. An error ends the work with it.
  absl::FunctionRef<absl::Status(int item)> begin;
  // The item itself, at a place from 0 on that does nothing else meanwhile: on a thread of its own, or on the calling one if there
  // is one place alone.
  absl::FunctionRef<absl::Status(int item, int place)> run;
  // Once an item and all before it are done, on the calling thread, in order of items; no more after an error of `begin`.
  absl::FunctionRef<void(int item)> end;
};

// Does `item_count` pieces of work, up to `place_count` at once; they are begun in order, each at the place that is free. Which one
// that is depends on time, so the work must not depend on it. After an error nothing more is begun. Returns when all that was
// begun has ended: OK, or a lost device (core/backend/device_lost.h), or the error of the first item that has one, whatever failed
// sooner. What `run` throws is thrown here. Preconditions: item_count >= 0, place_count >= 1.
absl::Status RunSideBySide(int item_count, int place_count, const SideBySideWork& work);

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_SIDE_BY_SIDE_H_

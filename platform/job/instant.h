#ifndef GPTVQ_PLATFORM_JOB_INSTANT_H_
#define GPTVQ_PLATFORM_JOB_INSTANT_H_

#include "platform/clock.h"

namespace gptvq {

// A moment as both clocks show it: how time reaches code that has no clock. Leases and delays go by `monotonic`; `wall` is
// written down for people.
struct Instant {
  MonotonicTime monotonic;
  WallTime wall;
};

inline Instant Now(const Clock& clock) { return {clock.MonotonicNow(), clock.WallNow()}; }

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_INSTANT_H_

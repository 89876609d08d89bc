#ifndef GPTVQ_SERVER_JOB_PACE_H_
#define GPTVQ_SERVER_JOB_PACE_H_

#include <deque>
#include <optional>

#include "platform/clock.h"

namespace gptvq {

// How long a job will still take, from what was seen of its progress. Only the last tenth of the work counts, so that
// workers that come or go soon show. Thread-compatible.
class JobPace {
 public:
  // `done` is the share of the job's work that is done at `now`. When it fell, work was lost and the pace begins anew.
  void Observe(MonotonicTime now, double done);

  // Unknown until 2 % of the work were seen being done. Grows while nothing is done.
  std::optional<double> SecondsLeft(MonotonicTime now) const;

 private:
  struct Sample {
    MonotonicTime time;
    double done = 0;
  };

  std::deque<Sample> samples_;  // when another hundredth was done: rising in time and in done
  double done_ = 0;             // the latest
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_JOB_PACE_H_

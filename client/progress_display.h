#ifndef GPTVQ_CLIENT_PROGRESS_DISPLAY_H_
#define GPTVQ_CLIENT_PROGRESS_DISPLAY_H_

#include <optional>
#include <string>

#include "client/job_view.h"
#include "client/terminal.h"

namespace gptvq {

// Shows how a job proceeds: on a terminal a bar with the time left, rewritten in place; elsewhere one plain line when the
// job's state changes and after each twentieth of the work, so that a log has some 25 lines whatever the number of layers.
// Work that is lost with a worker and done again is not told twice. Thread-compatible.
class ProgressDisplay {
 public:
  explicit ProgressDisplay(Terminal& terminal) : terminal_(terminal) {}

  // Draws `job`; `now_seconds` is a monotonic time.
  void Show(const JobView& job, double now_seconds);

  // Ends the animation; what follows begins on a line of its own.
  void Finish();

  // Seconds that are left by the pace so far; nullopt while there is too little to go by (under 2 % of the work).
  std::optional<double> SecondsLeft(const JobView& job, double now_seconds);

 private:
  void ShowAnimated(const JobView& job, double now_seconds);
  void ShowPlain(const JobView& job, double now_seconds);

  Terminal& terminal_;
  int drawn_lines_ = 0;  // of the frame that the cursor stands in; 0: none
  // Where the pace is measured from: the first time work was seen.
  std::optional<double> start_seconds_;
  double start_fraction_ = 0;
  // What plain lines have said so far.
  std::optional<JobState> shown_state_;
  int shown_steps_ = 0;
};

// "48 s", "3 min 20 s", "5 h 12 min".
std::string HumanDuration(double seconds);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_PROGRESS_DISPLAY_H_

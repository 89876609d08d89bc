#ifndef GPTVQ_PLATFORM_STOP_SIGNALS_H_
#define GPTVQ_PLATFORM_STOP_SIGNALS_H_

#include <functional>
#include <thread>

namespace gptvq {

// SIGTERM and SIGINT as calls of a function on a thread of its own, where it may do anything.
//
// Blocking the signals and waiting for them would be simpler and does not work: OpenBLAS starts threads while the
// program is being loaded, before anything could be blocked in them, and a signal that reaches one of them ends the
// process.
//
// At most one at a time in a process. The destructor brings the default actions back.
class StopSignals {
 public:
  explicit StopSignals(std::function<void(int signal)> on_signal);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  std::thread thread_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_STOP_SIGNALS_H_

#include "platform/stop_signals.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/base/check.h"

namespace gptvq {
namespace {

constexpr int kSignals[] = {SIGTERM, SIGINT};
constexpr unsigned char kEnd = 0;  // no signal has this number

// The way from the signal handler, which may do next to nothing, to the thread. A handler has no argument to find it
// by, so it is one of the process.
struct Pipe {
  int read_end = -1;
  int write_end = -1;
};

Pipe MakePipe() {
  int ends[2];
  GPTVQ_CHECK(pipe2(ends, O_CLOEXEC) == 0);
  return {ends[0], ends[1]};
}

const Pipe& SignalPipe() {
  static const Pipe pipe = MakePipe();  // made before the handler is installed
  return pipe;
}

void Send(unsigned char byte) {
  while (write(SignalPipe().write_end, &byte, 1) < 0 && errno == EINTR) continue;
}

void OnSignal(int signal) {
  const int saved_errno = errno;
  Send(static_cast<unsigned char>(signal));
  errno = saved_errno;
}

unsigned char Receive() {
  unsigned char byte = kEnd;
  while (read(SignalPipe().read_end, &byte, 1) < 0 && errno == EINTR) continue;
  return byte;
}

void SetAction(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // whoever is in a system call does not notice
  for (const int signal : kSignals) GPTVQ_CHECK(sigaction(signal, &action, nullptr) == 0);
}

}  // namespace

StopSignals::StopSignals(std::function<void(int signal)> on_signal)
    : thread_([on_signal = std::move(on_signal)] {
        for (unsigned char byte = Receive(); byte != kEnd; byte = Receive()) on_signal(byte);
      }) {
  SignalPipe();
  SetAction(OnSignal);
}

StopSignals::~StopSignals() {
  SetAction(SIG_DFL);
  Send(kEnd);
  thread_.join();
}

}  // namespace gptvq

#ifndef GPTVQ_TESTS_SUPPORT_CHILD_PROCESS_H_
#define GPTVQ_TESTS_SUPPORT_CHILD_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace gptvq {

// A program started by a test. Killed, and waited for, when it goes out of scope.
class ChildProcess {
 public:
  // `arguments[0]` is the path of the program; standard output and standard error go to the file `log_path`.
  ChildProcess(const std::vector<std::string>& arguments, const std::string& log_path);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal) const;

  // The exit code, or minus the signal that ended it; nullopt when it still runs after `timeout`.
  std::optional<int> Wait(std::chrono::milliseconds timeout);

 private:
  pid_t pid_ = -1;
  int pid_fd_ = -1;
  std::optional<int> result_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_CHILD_PROCESS_H_

#ifndef GPTVQ_BENCH_LOAD_COORDINATOR_PROCESS_H_
#define GPTVQ_BENCH_LOAD_COORDINATOR_PROCESS_H_

#include <memory>
#include <string>

#include "tests/support/child_process.h"

namespace gptvq {

// The shipped coordinator in a directory of its own, and what the system says about the process. Ends the program when it does
// not start. Thread-compatible.
class CoordinatorProcess {
 public:
  CoordinatorProcess(std::string program, std::string directory)
      : program_(std::move(program)), directory_(std::move(directory)) {}

  // Returns when it said where it listens.
  void Start();
  // As the machine would: without a word.
  void Kill();

  const std::string& address() const { return address_; }
  std::string store_directory() const { return directory_ + "/data/store"; }
  double cpu_seconds() const;  // of all its threads since it started
  double rss_mib() const;
  double peak_rss_mib() const;

 private:
  double StatusMib(const std::string& field) const;

  const std::string program_;
  const std::string directory_;
  std::string address_;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace gptvq

#endif  // GPTVQ_BENCH_LOAD_COORDINATOR_PROCESS_H_

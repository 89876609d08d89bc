#ifndef GPTVQ_CLIENT_EXIT_CODE_H_
#define GPTVQ_CLIENT_EXIT_CODE_H_

#include "absl/status/status.h"

namespace gptvq {

// What gptvq-client says to the shell. Stable: scripts depend on it (docs/adr/0001).
enum class ExitCode {
  kOk = 0,
  kJobFailed = 1,  // the job failed, or a result did not verify
  kUsage = 2,
  kNotFound = 3,     // no such job, file or model
  kUnreachable = 4,  // coordinator or storage did not answer; safe to retry
  kCancelled = 5,
  kInvalidInput = 6,  // a file or a spec that can not be used
  kOutOfSpace = 7,
  kInternal = 70,
  kTimeout = 124,
  kInterrupted = 130,
};

// The exit code for the status that ended a command.
ExitCode ExitCodeFor(const absl::Status& status);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_EXIT_CODE_H_

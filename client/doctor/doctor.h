#ifndef GPTVQ_CLIENT_DOCTOR_DOCTOR_H_
#define GPTVQ_CLIENT_DOCTOR_DOCTOR_H_

#include <string>
#include <vector>

#include "client/exit_code.h"
#include "client/job_client.h"
#include "platform/clock.h"
#include "platform/object_store/storage.h"
#include "platform/tls/connection_security.h"

namespace gptvq {

enum class CheckResult { kOk, kWarning, kFailure };

std::string_view Name(CheckResult result);  // ok, warn, fail

// What one check found.
struct CheckLine {
  std::string check;  // "address", "certificate", "tls", "call", "protocol", "clock", "workers", "file"
  CheckResult result = CheckResult::kOk;
  std::string message;
  std::string remedy;                  // what to do; empty when all is well
  ExitCode exit_code = ExitCode::kOk;  // what a failure ends the program with
};

struct DoctorOptions {
  std::string coordinator;  // as ParseRpcTarget gives it
  ConnectionSecurity security;
  std::vector<std::string> files;  // paths or URIs that a job will read
};

// Looks at everything between this program and a job that runs, in the order in which a call meets it, and says what is
// wrong and what to do about it. A check that needs an earlier one is left out when that one failed. Changes nothing.
// `client` is one for the same address; everything is borrowed.
std::vector<CheckLine> Diagnose(const DoctorOptions& options, JobClient& client, const Storage& storage, Clock& clock);

// The exit code of the first failure, which is the one the others may follow from; warnings do not count.
ExitCode WorstOf(const std::vector<CheckLine>& lines);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_DOCTOR_DOCTOR_H_

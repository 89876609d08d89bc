#ifndef GPTVQ_SERVER_COORDINATOR_FLAGS_H_
#define GPTVQ_SERVER_COORDINATOR_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "platform/log.h"
#include "platform/option_values.h"
#include "platform/options.h"
#include "server/coordinator_daemon.h"

namespace gptvq {

// The command line of gptvq-coordinator: without a command it serves; `backup`, `restore` and `accept-loss` deal with its
// journal, `verify-audit-log` with its audit log.

struct ServeOptions {
  CoordinatorDaemonOptions daemon;
  std::vector<std::string> file_roots;
  std::string storage_profiles;
  HostPort metrics_listen{"127.0.0.1", 0};
  bool metrics_enabled = false;
  std::string address_file;
  LogLevel log_level = LogLevel::kInfo;
};

struct CoordinatorFlags {
  ServeOptions serve;
  struct {
    std::string data_directory;
    std::string output;
  } backup;
  struct {
    std::string data_directory;
    std::string input;
  } restore;
  struct {
    std::string data_directory;
  } accept_loss;
  struct {
    std::string file;
    std::string known_value;
  } verify_audit_log;
};

// Declares every flag and command; the targets are fields of `flags`, which must outlive the parse.
void DeclareFlags(CommandLine& command_line, CoordinatorFlags& flags);

// Exit codes of the program: distinct for what an operator must do.
enum CoordinatorExitCode {
  kOk = 0,
  kNotVerified = 1,
  kUsage = 2,
  kNoSuchFile = 3,
  kCannotServe = 4,
  kDirectoryInUse = 6,
  kJournalLost = 74  // EX_IOERR: the disk of the journal did not keep what it was given
};

CoordinatorExitCode ExitCodeOf(const absl::Status& status);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_COORDINATOR_FLAGS_H_

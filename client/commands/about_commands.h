#ifndef GPTVQ_CLIENT_COMMANDS_ABOUT_COMMANDS_H_
#define GPTVQ_CLIENT_COMMANDS_ABOUT_COMMANDS_H_

#include <string>
#include <vector>

#include "client/commands/job_commands.h"
#include "client/exit_code.h"
#include "client/terminal.h"

namespace gptvq {

// The commands that need neither a coordinator nor a file.

// Every preset with its dimension, centroids, group size and bits per value on a 4096 x 4096 linear.
ExitCode Presets(OutputFormat output, Terminal& terminal);

// A completion script for `shell` (bash, zsh or fish) that knows the names in `commands`.
ExitCode Completion(const std::string& shell, const std::vector<std::string>& commands, Terminal& terminal);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_COMMANDS_ABOUT_COMMANDS_H_

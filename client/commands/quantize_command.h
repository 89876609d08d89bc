#ifndef GPTVQ_CLIENT_COMMANDS_QUANTIZE_COMMAND_H_
#define GPTVQ_CLIENT_COMMANDS_QUANTIZE_COMMAND_H_

#include "client/commands/job_commands.h"
#include "client/embedded_runner.h"
#include "client/exit_code.h"
#include "client/job_flags.h"
#include "client/terminal.h"
#include "core/base/monotonic_clock.h"

namespace gptvq {

// Runs a whole job inside this process, shows its progress, and prints its report.
ExitCode QuantizeModel(const JobFlags& flags, const EmbeddedRunnerOptions& runner, OutputFormat output,
                       const MonotonicClock& clock, Terminal& terminal);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_COMMANDS_QUANTIZE_COMMAND_H_

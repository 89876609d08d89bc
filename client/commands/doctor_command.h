#ifndef GPTVQ_CLIENT_COMMANDS_DOCTOR_COMMAND_H_
#define GPTVQ_CLIENT_COMMANDS_DOCTOR_COMMAND_H_

#include "client/commands/job_commands.h"
#include "client/doctor/doctor.h"
#include "client/exit_code.h"
#include "client/terminal.h"

namespace gptvq {

// Prints what Diagnose() finds, a line or JSON object each. The exit code is that of WorstOf().
ExitCode RunDoctor(const DoctorOptions& options, JobClient& client, const Storage& storage, Clock& clock,
                   OutputFormat output, Terminal& terminal);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_COMMANDS_DOCTOR_COMMAND_H_

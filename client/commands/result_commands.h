#ifndef GPTVQ_CLIENT_COMMANDS_RESULT_COMMANDS_H_
#define GPTVQ_CLIENT_COMMANDS_RESULT_COMMANDS_H_

#include <string>

#include "client/commands/job_commands.h"
#include "client/exit_code.h"
#include "client/terminal.h"
#include "platform/object_store/storage.h"

namespace gptvq {

// The commands that read a result where it lies. A directory is a path or a URI.

// Checks every byte against the manifest. kJobFailed when something is wrong; each failure is named.
ExitCode VerifyResult(const Storage& storage, const std::string& directory, Terminal& terminal);

// Shows what a result holds: spec, bits by part, errors, sizes.
ExitCode InspectResult(const Storage& storage, const std::string& directory, OutputFormat output, Terminal& terminal);

struct ExportFlags {
  std::string directory;
  std::string format;  // "dequantized"
  std::string dtype;   // "bf16", "fp16" or "fp32"
  std::string output;
};

// Writes a result as a plain Hugging Face checkpoint.
ExitCode ExportResult(const Storage& storage, const ExportFlags& flags, Terminal& terminal);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_COMMANDS_RESULT_COMMANDS_H_

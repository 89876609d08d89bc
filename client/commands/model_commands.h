#ifndef GPTVQ_CLIENT_COMMANDS_MODEL_COMMANDS_H_
#define GPTVQ_CLIENT_COMMANDS_MODEL_COMMANDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "client/commands/job_commands.h"
#include "client/exit_code.h"
#include "client/terminal.h"
#include "platform/device_choice.h"
#include "platform/object_store/storage.h"

namespace gptvq {

// The commands that read a model and texts in this process. Locations are paths or URIs.

struct EvalFlags {
  std::string directory;  // a source model, a result, or an exported checkpoint
  std::string text;
  int sequence_length = 2048;
  std::int64_t max_tokens = 0;  // 0: all full windows of the text
  DeviceChoice device;
  int threads = 0;
};

// Perplexity on consecutive windows of the text.
ExitCode EvaluateModel(const Storage& storage, const EvalFlags& flags, OutputFormat output, Terminal& terminal);

struct CalibrationFlags {
  std::string model;
  std::vector<std::string> calibration;
  int samples = 128;
  int sequence_length = 2048;
  std::uint64_t seed = 0;
};

// Shows the calibration rows that a job with these flags would use.
ExitCode InspectCalibrationFiles(const Storage& storage, const CalibrationFlags& flags, Terminal& terminal);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_COMMANDS_MODEL_COMMANDS_H_

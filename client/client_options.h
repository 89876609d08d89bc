#ifndef GPTVQ_CLIENT_CLIENT_OPTIONS_H_
#define GPTVQ_CLIENT_CLIENT_OPTIONS_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "client/commands/job_commands.h"
#include "client/job_flags.h"
#include "platform/device_choice.h"
#include "platform/options.h"
#include "platform/tls/connection_security.h"

namespace gptvq {

// Everything the command line of gptvq-client can say. Each command reads the fields that its flags fill. Plain value.
struct ClientOptions {
  std::string coordinator = "127.0.0.1:7070";
  ConnectionSecurity security;                                        // how the coordinator is reached
  std::chrono::milliseconds retry_for = RepetitionOptions().at_most;  // what talks to a coordinator, but version
  std::string state_dir;

  JobFlags job;  // submit, quantize; its spec also for linear
  std::string request_id;
  bool dry_run = false;
  bool wait = false;
  bool watch = false;
  std::string job_id;  // get, watch, wait, cancel, report
  std::string worker;  // release
  int limit = 50;
  std::chrono::milliseconds timeout{0};  // 0: for ever
  OutputFormat output = OutputFormat::kText;

  DeviceChoice device;  // quantize, eval, linear
  int threads = 0;      // the same, on the CPU; 0: all cores
  int workers = 1;      // quantize, on the CPU

  std::string storage_profiles;  // whatever opens files itself

  std::string directory;  // verify, inspect, export, eval: a model or result
  std::string text;       // eval: text file
  std::string export_format = "dequantized";
  std::string export_dtype = "bf16";
  std::string export_output;

  std::string weight;   // linear: FILE:TENSOR
  std::string hessian;  // linear: FILE:TENSOR
  std::string linear_output;

  std::vector<std::string> files;  // doctor

  std::string calibration_action;  // calibration
  std::string shell;               // completion
};

// Declares every command and flag; the targets are fields of `options`, which must outlive the parse.
void DeclareCommands(CommandLine& command_line, ClientOptions& options);

// The names of all commands, in the order of the help.
const std::vector<std::string>& CommandNames();

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_CLIENT_OPTIONS_H_

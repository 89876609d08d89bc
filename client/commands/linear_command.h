#ifndef GPTVQ_CLIENT_COMMANDS_LINEAR_COMMAND_H_
#define GPTVQ_CLIENT_COMMANDS_LINEAR_COMMAND_H_

#include <cstdint>
#include <string>

#include "client/exit_code.h"
#include "client/spec_flags.h"
#include "client/terminal.h"
#include "core/base/monotonic_clock.h"
#include "platform/device_choice.h"
#include "platform/object_store/storage.h"

namespace gptvq {

struct LinearOptions {
  std::string weight;   // FILE:TENSOR, R x C, any floating-point dtype
  std::string hessian;  // FILE:TENSOR, C x C, symmetric
  std::string output;   // safetensors file, in a directory that exists; none of the inputs
  SpecFlags spec;
  std::uint64_t seed = 0;
  DeviceChoice device;
  int threads = 0;  // 0: one per core
};

// Quantizes one matrix in this process. The output file holds the packed tensors under the weight's name (docs/format.md)
// and `dequantized` [R, C] in F32; the report goes to `out` as JSON. Nothing is written unless everything succeeded.
ExitCode QuantizeOneLinear(const Storage& storage, const LinearOptions& options, const MonotonicClock& clock,
                           Terminal& terminal);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_COMMANDS_LINEAR_COMMAND_H_

#ifndef GPTVQ_CORE_PIPELINE_MEMORY_PLAN_H_
#define GPTVQ_CORE_PIPELINE_MEMORY_PLAN_H_

#include <cstdint>
#include <string_view>

#include "core/model/model_config.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// What the plan is for.
enum class PlannedDevice {
  kCpu,
  kGpu,
};

struct MemoryPlanInput {
  std::int64_t sample_count = 0;
  std::int64_t sequence_length = 0;
  std::int64_t source_bytes_per_weight = 2;  // as the checkpoint stores weights
};

// The most memory that a worker's slot needs at a time to quantize any layer of a model. Plain value.
struct MemoryPlan {
  std::uint64_t device_bytes = 0;  // in the backend's memory
  // The same with the linears of the next layer, where they are copied ahead: where a device has so much (core/pipeline/layer_upload.h).
  std::uint64_t ahead_device_bytes = 0;
  // The same with all linears of one input at work at once: where a device has so much, and backends for it (docs/adr/0018).
  std::uint64_t beside_device_bytes = 0;
  std::uint64_t host_bytes = 0;  // with device_bytes where the backend's memory is the host's
  // Where device memory peaks: "calibrate", "factor", or "cluster" or "refine" with the linear of the peak.
  std::string_view peak_step;
  std::string_view peak_linear;  // LinearName, empty for the first two
};

// Adds up what core/pipeline, core/model and core/quant allocate for a layer, stage by stage, and takes the largest sum.
// The backend's own scratch is that of core/backend/memory_needs.h. Pure: what is allocated depends on shapes alone, never on
// the machine, so a job's memory is known before it begins. Not below what vector quantization allocates, and within a
// tenth above it on the CPU, as tests count it; an upper bound for the baselines. Not counted: programs and libraries,
// buffers of files.
// Precondition: a config as ParseModelConfig returns it, a valid spec.
MemoryPlan PlanMemory(const ModelConfig& config, const QuantSpec& spec, const MemoryPlanInput& input,
                      PlannedDevice device);

}  // namespace gptvq

#endif  // GPTVQ_CORE_PIPELINE_MEMORY_PLAN_H_

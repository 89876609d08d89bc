#ifndef GPTVQ_CORE_SPEC_PRESETS_H_
#define GPTVQ_CORE_SPEC_PRESETS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// Named specs. `2d-3.125bpv` is d = 2 at a nominal 3.125 bits per value; the suffix -s64 or -s32 adds block scales of
// that many columns; `gptq-3bit-g128` and `rtn-3bit-g128` are the uniform baselines. The vector settings are those of
// the scripts published with the paper (test_bigtable.sh, test_scaling.sh, test_target_bitwidth.sh).
struct Preset {
  std::string name;
  QuantSpec spec;
};

// All presets, in the order in which they are shown to people.
const std::vector<Preset>& AllPresets();

// Errors: NotFound naming the closest presets.
absl::StatusOr<QuantSpec> FindPreset(std::string_view name);

}  // namespace gptvq

#endif  // GPTVQ_CORE_SPEC_PRESETS_H_

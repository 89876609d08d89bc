#ifndef GPTVQ_CLIENT_SPEC_FLAGS_H_
#define GPTVQ_CLIENT_SPEC_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/spec/quant_spec.h"

namespace gptvq {

// What the flags say about the quantization: a preset, and single knobs that win over it. Every field is one flag of the
// same name (--vector-dim, --index-bits, ...); text fields take the names of core/spec/quant_spec.h.
struct SpecFlags {
  std::string preset = "2d-3.125bpv";
  std::optional<int> vector_dim;
  std::optional<int> index_bits;
  std::optional<std::int64_t> group_weights;
  std::optional<int> columns_per_group;
  std::optional<std::string> codebook_dtype;
  std::optional<int> block_scale_columns;
  std::optional<double> svd_rank_fraction;
  std::optional<std::string> seeding;
  std::optional<int> em_iterations;
  std::optional<int> update_iterations;
  std::optional<int> refinement_passes;
  std::optional<int> uniform_bits;
  std::optional<int> uniform_group_columns;
  bool act_order = false;
  std::optional<double> damping;
  std::optional<std::string> layer_order;
  std::optional<std::string> compat;
};

// The spec the flags describe. --compat reference takes the damping of the published code unless --damping is given.
// Errors: InvalidArgument naming the flag or field and what is allowed; also for a flag that the preset's method ignores.
absl::StatusOr<QuantSpec> ResolveSpec(const SpecFlags& flags);

}  // namespace gptvq

#endif  // GPTVQ_CLIENT_SPEC_FLAGS_H_

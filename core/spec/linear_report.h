#ifndef GPTVQ_CORE_SPEC_LINEAR_REPORT_H_
#define GPTVQ_CORE_SPEC_LINEAR_REPORT_H_

#include <cstdint>
#include <string>

#include "core/spec/bits_per_value.h"

namespace gptvq {

// Which Hessian the recipe ended up with.
enum class HessianPolicy {
  kFull,          // H + damping * mean(diag H) * I
  kDiagonalOnly,  // every rung of the damping ladder failed: off-diagonal elements ignored
};

// Wall time of the phases of one linear, in seconds; measured, so not part of any digest. Linears that were at work at once, side by
// side on one device, count the same time each: their sum is more than the layer took.
struct PhaseSeconds {
  double factor = 0;      // damping and Cholesky
  double clustering = 0;  // block scales, seeding and EM
  double sweep = 0;       // column pass with error feedback
  double update = 0;      // codebook updates
  double refinement = 0;  // re-assignment passes

  double total() const { return factor + clustering + sweep + update + refinement; }
  friend bool operator==(const PhaseSeconds&, const PhaseSeconds&) = default;
};

// What happened to one linear: the metrics that travel with its packed form. Plain value.
struct LinearReport {
  std::string name;  // tensor name without ".weight", e.g. model.layers.3.mlp.down_proj
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  BitCount bits;
  double relative_error = 0;        // tr(E H E^T) / tr(W H W^T), E = W - Q, H undamped; 0 when the denominator is 0
  double sweep_relative_error = 0;  // the same after the sweep, before codebook updates and refinement
  double damping = 0;               // the rung that was used, as a fraction of the mean diagonal
  HessianPolicy hessian_policy = HessianPolicy::kFull;
  std::int64_t dead_columns = 0;       // columns whose diagonal was below 1e-8 of the mean diagonal
  std::int64_t em_iterations = 0;      // largest number over the groups
  std::int64_t update_iterations = 0;  // conjugate-gradient steps, all updates together
  int refinement_passes = 0;           // passes that were kept
  PhaseSeconds seconds;

  friend bool operator==(const LinearReport&, const LinearReport&) = default;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_SPEC_LINEAR_REPORT_H_

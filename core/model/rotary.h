#ifndef GPTVQ_CORE_MODEL_ROTARY_H_
#define GPTVQ_CORE_MODEL_ROTARY_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/device_matrix.h"
#include "core/model/model_config.h"

namespace gptvq {

// The angular frequencies w_i of rotary embeddings, i < head_dim / 2, in radians per position, f64. With
// f_i = rope_theta^(-2i / head_dim) (Su et al., RoFormer, 2021, eq. 15):
//   none, dynamic  f_i. Dynamic NTK scaling leaves sequences of at most max_positions tokens alone.
//   linear         f_i / factor (Chen et al., 2306.15595).
//   llama3         by wavelength 2 pi / f_i against the original context L: f_i below L / high_freq_factor,
//                  f_i / factor above L / low_freq_factor, between the two their mix with weight
//                  s = (L f_i / 2 pi - low) / (high - low) on f_i (Llama 3.1's reference code).
//   yarn           (1 - r_i) f_i + r_i f_i / factor, where the ramp r_i goes from 0 to 1 between the pairs
//                  floor(d(beta_fast)) and ceil(d(beta_slow)), d(b) = head_dim ln(L / (2 pi b)) / (2 ln theta), that is
//                  the pair that makes b turns within the original context (Peng et al., 2309.00071, section 3.2).
// Pure. Precondition: a config as ParseModelConfig returns it.
std::vector<double> RotaryFrequencies(const ModelConfig& config);

// cos(p w_i) and sin(p w_i), times the attention factor (yarn), for positions p < sequence_length: [sequence_length,
// head_dim / 2] f32 in backend memory. Angles are formed in f64 and every value is rounded once.
struct RotaryTables {
  DeviceMatrix<float> cosines;
  DeviceMatrix<float> sines;

  // Errors: InvalidArgument when the sequence is longer than config.max_positions; ResourceExhausted.
  static absl::StatusOr<RotaryTables> Create(Backend& backend, const ModelConfig& config, std::int64_t sequence_length);
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_MODEL_ROTARY_H_

#ifndef GPTVQ_BENCH_VECTOR_CASE_H_
#define GPTVQ_BENCH_VECTOR_CASE_H_

#include <string>
#include <vector>

#include "bench/bench_support.h"
#include "core/spec/presets.h"

namespace gptvq {

// A linear of SmolLM2-135M (hidden 576, feed-forward 1536) quantized with a preset: layout, random codebooks and
// assignments in backend memory.
struct VectorCase {
  VectorCase(Backend& backend, std::int64_t rows, std::int64_t cols, const std::string& preset);

  VectorCode code() const;
  std::int64_t weights() const { return layout.rows() * layout.cols(); }
  std::int64_t vectors() const { return weights() / spec.vector_dim; }

  std::string label;
  QuantSpec spec;
  GroupLayout layout;
  DeviceMatrix<float> codebooks;
  DeviceMatrix<std::uint8_t> assignments;
  DeviceMatrix<float> scales;  // empty without block scales
};

// The cases every vector benchmark runs.
std::vector<VectorCase> VectorCases(Backend& backend);

}  // namespace gptvq

#endif  // GPTVQ_BENCH_VECTOR_CASE_H_

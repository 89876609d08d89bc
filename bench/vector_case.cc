#include "bench/vector_case.h"

#include <cmath>

#include "core/base/philox.h"

namespace gptvq {

VectorCase::VectorCase(Backend& backend, std::int64_t rows, std::int64_t cols, const std::string& preset)
    : label(std::to_string(rows) + "x" + std::to_string(cols) + " " + preset),
      spec(FindPreset(preset).value()),
      layout(GroupLayout::Make(rows, cols, spec).value()),
      codebooks(BenchMatrix(backend, layout.group_count(), spec.centroid_count() * spec.vector_dim, 1)) {
  const Philox random(1, 2);
  std::vector<std::uint8_t> indices(static_cast<std::size_t>(vectors()));
  for (std::size_t i = 0; i < indices.size(); ++i) {
    indices[i] = static_cast<std::uint8_t>(random.Draw(i)[0] % static_cast<std::uint32_t>(spec.centroid_count()));
  }
  assignments = DeviceMatrix<std::uint8_t>::FromHost(backend, indices.data(), rows, cols / spec.vector_dim).value();
  if (spec.block_scale_columns > 0) {
    const std::int64_t blocks = (cols + spec.block_scale_columns - 1) / spec.block_scale_columns;
    std::vector<float> values = BenchNormals(rows * blocks, 3);
    for (float& value : values) value = std::exp2(0.5f * value);
    scales = DeviceMatrix<float>::FromHost(backend, values.data(), rows, blocks).value();
  }
}

VectorCode VectorCase::code() const {
  VectorCode code;
  code.layout = &layout;
  code.vector_dim = spec.vector_dim;
  code.index_bits = spec.index_bits;
  code.block_scale_columns = spec.block_scale_columns;
  if (spec.block_scale_columns > 0) code.block_scales = scales.view();
  return code;
}

std::vector<VectorCase> VectorCases(Backend& backend) {
  std::vector<VectorCase> cases;
  for (const char* preset : {"2d-3.125bpv", "1d-2.125bpv", "2d-2.125bpv", "4d-2.25bpv"}) {
    cases.emplace_back(backend, 576, 1536, preset);
  }
  cases.emplace_back(backend, 576, 576, "2d-3.125bpv");
  cases.emplace_back(backend, 1536, 576, "2d-3.125bpv");
  return cases;
}

}  // namespace gptvq

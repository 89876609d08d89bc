#ifndef GPTVQ_TESTS_CORE_FORMAT_RANDOM_LINEAR_H_
#define GPTVQ_TESTS_CORE_FORMAT_RANDOM_LINEAR_H_

#include <cstdint>
#include <string>

#include "core/format/packed_layout.h"
#include "core/spec/quant_spec.h"
#include "core/spec/quantized_linear.h"

namespace gptvq {

// A valid quantized linear of the given shape with random contents: what `spec` could have produced. Counter-based:
// equal arguments give equal linears.
QuantizedLinear RandomLinear(std::uint64_t seed, std::int64_t rows, std::int64_t cols, const QuantSpec& spec);

// The module that such a linear belongs to.
PackedModule ModuleOf(const std::string& name, const QuantizedLinear& linear, const QuantSpec& spec);

// Whether two linears are equal number by number.
bool SameLinear(const QuantizedLinear& a, const QuantizedLinear& b);

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CORE_FORMAT_RANDOM_LINEAR_H_

#ifndef GPTVQ_CORE_CPU_ROW_KERNELS_H_
#define GPTVQ_CORE_CPU_ROW_KERNELS_H_

#include <cstdint>
#include <string>

namespace gptvq {

// Loops over one row of numbers, compiled for several instruction sets; the best one of the machine is taken. Sums run in
// an order that depends on the length and the instruction set alone.

// "SSE4", "AVX2", "AVX3" (AVX-512): what this machine takes.
std::string InstructionSet();

// The largest element; -infinity of an empty row.
float RowMax(const float* x, std::int64_t count);
// The largest magnitude; 0 of an empty row.
float RowAbsMax(const float* x, std::int64_t count);
bool RowIsFinite(const float* x, std::int64_t count);

// sum of a * b in f64.
double RowDot(const float* a, const float* b, std::int64_t count);

// x = exp(x - max); returns the sum. Precondition: no element is larger than max, max is finite.
float ExpRow(float* x, std::int64_t count, float max);

// y = x * factor * weight. y may be x.
void NormalizeRow(const float* x, const float* weight, float factor, std::int64_t count, float* y_out);

// out = gate / (1 + exp(-gate)) * up. out may be gate or up.
void SwiGluRow(const float* gate, const float* up, std::int64_t count, float* out);

}  // namespace gptvq

#endif  // GPTVQ_CORE_CPU_ROW_KERNELS_H_

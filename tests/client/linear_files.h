#ifndef GPTVQ_TESTS_CLIENT_LINEAR_FILES_H_
#define GPTVQ_TESTS_CLIENT_LINEAR_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/format/packed_tensors.h"
#include "core/format/safetensors_reader.h"

namespace gptvq {

// Input and output files of `gptvq-client linear`.

// A tensor of `dtype` with these values.
PackedTensor ATensor(std::string name, DType dtype, std::vector<std::int64_t> shape, const std::vector<float>& values);
PackedTensor Zeros(std::string name, DType dtype, std::vector<std::int64_t> shape);

// Writes a safetensors file at `path`; ends the test's process when it can not.
void WriteTensors(const std::string& path, const std::vector<PackedTensor>& tensors);

// Opens a safetensors file; ends the test's process when it can not.
SafetensorsReader OpenTensors(const std::string& path);

// The bytes, or the values, of a tensor that has this dtype and shape ("F32 [4, 8]"); else the test fails, and none.
std::vector<std::uint8_t> BytesOf(const SafetensorsReader& file, const std::string& name,
                                  const std::string& description);
std::vector<float> ValuesOf(const SafetensorsReader& file, const std::string& name, const std::string& description);

// X^T X of `tokens` rows of random inputs that depend on each other, [cols, cols].
std::vector<float> RandomHessian(std::int64_t cols, std::int64_t tokens);

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CLIENT_LINEAR_FILES_H_

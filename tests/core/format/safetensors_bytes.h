#ifndef GPTVQ_TESTS_CORE_FORMAT_SAFETENSORS_BYTES_H_
#define GPTVQ_TESTS_CORE_FORMAT_SAFETENSORS_BYTES_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/memory_file.h"

namespace gptvq {

// Builds safetensors files by hand, right or wrong, without the writer under test.

inline std::string LittleEndian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>(value >> (8 * i)));
  return text;
}

inline std::string FileWithHeader(const std::string& header, const std::string& data) {
  return LittleEndian(header.size(), 8) + header + data;
}

inline std::string TensorEntry(const std::string& name, const std::string& dtype, const std::string& shape,
                               const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":[" + offsets + "]}";
}

inline std::string F32Bytes(const std::vector<float>& values) {
  std::string bytes;
  for (float value : values) bytes += LittleEndian(std::bit_cast<std::uint32_t>(value), 4);
  return bytes;
}

// A file of one F32 matrix.
inline std::string OneMatrixFile(const std::string& name, std::int64_t rows, std::int64_t cols,
                                 const std::vector<float>& values) {
  const std::string shape = std::to_string(rows) + "," + std::to_string(cols);
  return FileWithHeader("{" + TensorEntry(name, "F32", shape, "0," + std::to_string(4 * values.size())) + "}",
                        F32Bytes(values));
}

inline std::unique_ptr<RandomAccessFile> AFile(std::string contents, std::string name = "m.safetensors") {
  return std::make_unique<MemoryFile>(std::move(name), std::move(contents));
}

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CORE_FORMAT_SAFETENSORS_BYTES_H_

#include "tests/client/linear_files.h"

#include <utility>

#include "client/local_files.h"
#include "core/base/check.h"
#include "core/base/dtype.h"
#include "core/format/safetensors_writer.h"
#include "gtest/gtest.h"
#include "tests/support/test_random.h"

namespace gptvq {

PackedTensor ATensor(std::string name, DType dtype, std::vector<std::int64_t> shape, const std::vector<float>& values) {
  PackedTensor tensor = Zeros(std::move(name), dtype, std::move(shape));
  EncodeFromFloat(dtype, values, absl::MakeSpan(tensor.bytes));
  return tensor;
}

PackedTensor Zeros(std::string name, DType dtype, std::vector<std::int64_t> shape) {
  PackedTensor tensor{{std::move(name), dtype, std::move(shape)}, {}};
  tensor.bytes.resize(tensor.info.byte_count());
  return tensor;
}

void WriteTensors(const std::string& path, const std::vector<PackedTensor>& tensors) {
  std::vector<TensorInfo> infos;
  for (const PackedTensor& tensor : tensors) infos.push_back(tensor.info);
  auto file = CreateLocalFile(Storage({}), path);
  GPTVQ_CHECK(file.ok());
  auto writer = SafetensorsWriter::Begin(infos, {}, **file);
  GPTVQ_CHECK(writer.ok());
  for (const TensorInfo& info : writer->order()) {
    for (const PackedTensor& tensor : tensors) {
      if (tensor.info == info) GPTVQ_CHECK(writer->Append(tensor.bytes).ok());
    }
  }
  GPTVQ_CHECK(writer->Finish().ok() && (*file)->Close().ok());
}

SafetensorsReader OpenTensors(const std::string& path) {
  auto file = OpenLocalFile(Storage({}), path);
  GPTVQ_CHECK(file.ok());
  auto reader = SafetensorsReader::Open(*std::move(file));
  GPTVQ_CHECK(reader.ok());
  return *std::move(reader);
}

std::vector<std::uint8_t> BytesOf(const SafetensorsReader& file, const std::string& name,
                                  const std::string& description) {
  const StoredTensor* stored = file.Find(name);
  if (stored == nullptr || Describe(stored->info) != description) {
    ADD_FAILURE() << name << (stored == nullptr ? " is missing" : " is " + Describe(stored->info));
    return {};
  }
  std::vector<std::uint8_t> bytes(stored->info.byte_count());
  const absl::Status status =
      file.Read(*stored, 0, absl::MakeSpan(reinterpret_cast<std::byte*>(bytes.data()), bytes.size()));
  EXPECT_TRUE(status.ok()) << status;
  return bytes;
}

std::vector<float> ValuesOf(const SafetensorsReader& file, const std::string& name, const std::string& description) {
  const std::vector<std::uint8_t> bytes = BytesOf(file, name, description);
  if (bytes.empty()) return {};
  const TensorInfo& info = file.Find(name)->info;
  std::vector<float> values(static_cast<std::size_t>(info.element_count()));
  DecodeToFloat(info.dtype, absl::MakeConstSpan(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()),
                absl::MakeSpan(values));
  return values;
}

std::vector<float> RandomHessian(std::int64_t cols, std::int64_t tokens) {
  TestRandom random(7);
  std::vector<float> hessian(static_cast<std::size_t>(cols * cols));
  for (std::int64_t token = 0; token < tokens; ++token) {
    std::vector<float> x = random.Normals(cols);
    for (std::int64_t c = 1; c < cols; ++c) x[c] += 0.5f * x[c - 1];
    for (std::int64_t r = 0; r < cols; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) hessian[r * cols + c] += x[r] * x[c];
    }
  }
  return hessian;
}

}  // namespace gptvq

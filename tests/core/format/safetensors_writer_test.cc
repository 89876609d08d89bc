#include "core/format/safetensors_writer.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/memory_file.h"
#include "core/format/safetensors_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/format/safetensors_bytes.h"

namespace gptvq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<TensorInfo> kTensors = {{"b", DType::kU8, {3}},
                                          {"a", DType::kU8, {2}},
                                          {"w", DType::kF32, {1, 2}},
                                          {"h", DType::kBf16, {1}},
                                          {"e", DType::kI8, {0}}};

std::string Write(std::vector<TensorInfo> tensors, const std::map<std::string, std::string>& metadata,
                  const std::string& data) {
  MemoryDirectory directory;
  auto file = directory.Create("f.safetensors");
  auto writer = SafetensorsWriter::Begin(std::move(tensors), metadata, **file);
  EXPECT_TRUE(writer.ok()) << writer.status();
  EXPECT_TRUE(writer->Append(AsBytes(data)).ok());
  EXPECT_TRUE(writer->Finish().ok());
  EXPECT_TRUE((*file)->Close().ok());
  return *ReadWholeFile(**directory.Open("f.safetensors"), 1 << 20);
}

// docs/format.md 2.8, the whole file spelled out.
TEST(SafetensorsWriter, WritesTheBytesOfThePage) {
  const std::string file = Write(kTensors, {{"format", "pt"}}, "wwwwwwwwhhaabbb");

  std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"data_offsets":[10,12],"dtype":"U8","shape":[2]},)"
      R"("b":{"data_offsets":[12,15],"dtype":"U8","shape":[3]},"e":{"data_offsets":[15,15],"dtype":"I8","shape":[0]},)"
      R"("h":{"data_offsets":[8,10],"dtype":"BF16","shape":[1]},"w":{"data_offsets":[0,8],"dtype":"F32","shape":[1,2]}})";
  while ((8 + header.size()) % 64 != 0) header += ' ';
  EXPECT_EQ(file, FileWithHeader(header, "wwwwwwwwhhaabbb"));
}

TEST(SafetensorsWriter, DoesNotDependOnTheOrderOfDeclaration) {
  std::vector<TensorInfo> reversed(kTensors.rbegin(), kTensors.rend());

  EXPECT_EQ(Write(kTensors, {}, "wwwwwwwwhhaabbb"), Write(reversed, {}, "wwwwwwwwhhaabbb"));
}

TEST(SafetensorsWriter, IsReadBackByTheReader) {
  const auto reader = SafetensorsReader::Open(AFile(Write(kTensors, {{"k", "v"}}, "wwwwwwwwhhaabbb")));

  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->metadata().at("k"), "v");
  EXPECT_EQ(reader->tensors().size(), kTensors.size());
  for (const TensorInfo& tensor : kTensors) {
    ASSERT_NE(reader->Find(tensor.name), nullptr);
    EXPECT_EQ(reader->Find(tensor.name)->info, tensor);
    EXPECT_EQ(reader->Find(tensor.name)->file_offset % DTypeBytes(tensor.dtype), 0u);
  }
}

TEST(SafetensorsWriter, RefusesNamesThatNoReaderTakes) {
  MemoryDirectory directory;
  auto file = directory.Create("f.safetensors");
  const auto begin = [&](std::vector<TensorInfo> tensors, const std::map<std::string, std::string>& metadata) {
    return SafetensorsWriter::Begin(std::move(tensors), metadata, **file).status().code();
  };

  EXPECT_EQ(begin({{"a", DType::kU8, {1}}, {"a", DType::kF32, {1}}}, {}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(begin({{std::string(513, 'n'), DType::kU8, {1}}}, {}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(begin({{"\xff", DType::kU8, {1}}}, {}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(begin({{"__metadata__", DType::kU8, {1}}}, {}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(begin({}, {{"k", std::string(1 << 20, 'x')}}), absl::StatusCode::kInvalidArgument);
}

TEST(SafetensorsWriter, CountsTheBytes) {
  MemoryDirectory directory;
  auto file = directory.Create("f.safetensors");
  auto writer = SafetensorsWriter::Begin({{"a", DType::kU8, {2}}}, {}, **file);
  ASSERT_TRUE(writer.ok());

  ASSERT_TRUE(writer->Append(AsBytes("x")).ok());

  EXPECT_EQ(writer->Finish().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(writer->Append(AsBytes("yz")).code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace gptvq

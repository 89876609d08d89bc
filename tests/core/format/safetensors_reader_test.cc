#include "core/format/safetensors_reader.h"

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/format/safetensors_bytes.h"

namespace gptvq {
namespace {

using ::testing::HasSubstr;

// Answers reads with zeros and counts them: a sparse file of any size.
class SparseFile final : public RandomAccessFile {
 public:
  SparseFile(std::string start, std::uint64_t size, std::uint64_t& bytes_read)
      : start_(std::move(start)), size_(size), bytes_read_(bytes_read) {}

  std::string_view name() const override { return "sparse.safetensors"; }
  std::uint64_t size() const override { return size_; }
  absl::Status ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const override {
    bytes_read_ += bytes_out.size();
    for (std::size_t i = 0; i < bytes_out.size(); ++i) {
      bytes_out[i] = offset + i < start_.size() ? std::byte(start_[offset + i]) : std::byte{0};
    }
    return absl::OkStatus();
  }

 private:
  const std::string start_;
  const std::uint64_t size_;
  std::uint64_t& bytes_read_;
};

// Says that it is whole and then fails past half: a file that shrinks while it is read.
class ShrinkingFile final : public RandomAccessFile {
 public:
  explicit ShrinkingFile(std::string contents) : contents_(std::move(contents)) {}

  std::string_view name() const override { return "shrinking.safetensors"; }
  std::uint64_t size() const override { return contents_.size(); }
  absl::Status ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const override {
    if (offset + bytes_out.size() > contents_.size() - 4)
      return absl::DataLossError("shrinking.safetensors: short read");
    std::memcpy(bytes_out.data(), contents_.data() + offset, bytes_out.size());
    return absl::OkStatus();
  }

 private:
  const std::string contents_;
};

TEST(SafetensorsReader, ReadsTensorsByNameAndRange) {
  const std::string header = "{\"__metadata__\":{\"format\":\"pt\"}," + TensorEntry("b", "U8", "3", "8,11") + "," +
                             TensorEntry("a.weight", "F32", "1,2", "0,8") + "," + TensorEntry("s", "U8", "", "11,12") +
                             "," + TensorEntry("empty", "F16", "0,4", "12,12") + "}   ";
  auto reader = SafetensorsReader::Open(AFile(FileWithHeader(header, F32Bytes({1.5f, -2.0f}) + "xyz!")));

  ASSERT_TRUE(reader.ok()) << reader.status();
  ASSERT_EQ(reader->tensors().size(), 4u);
  EXPECT_EQ(reader->tensors()[0].info, (TensorInfo{"a.weight", DType::kF32, {1, 2}}));
  EXPECT_EQ(reader->metadata().at("format"), "pt");
  EXPECT_EQ(reader->Find("c"), nullptr);
  EXPECT_EQ(reader->Find("s")->info.element_count(), 1);
  EXPECT_EQ(reader->Find("empty")->info.element_count(), 0);
  std::array<std::byte, 2> bytes{};
  ASSERT_TRUE(reader->Read(*reader->Find("b"), 1, absl::MakeSpan(bytes)).ok());
  EXPECT_EQ(bytes, (std::array<std::byte, 2>{std::byte{'y'}, std::byte{'z'}}));
  EXPECT_EQ(reader->Read(*reader->Find("b"), 2, absl::MakeSpan(bytes)).code(), absl::StatusCode::kOutOfRange);
}

struct BadFile {
  std::string what;  // row of the bad-input matrix and the case
  std::string contents;
  std::string message;  // the error holds this
};

std::string Tensors(const std::string& entries, const std::string& data) {
  return FileWithHeader("{" + entries + "}", data);
}

std::string Nested(int depth) { return "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}"; }

// docs/format.md 2.1 to 2.6.
std::vector<BadFile> BadFiles() {
  const std::string ok = TensorEntry("t", "U8", "2", "0,2");
  const std::string long_name(kMaxTensorNameBytes + 1, 'n');
  std::string metadata_of_51_mb = "{\"__metadata__\":{\"k\":\"" + std::string(51'000'000, 'x') + "\"}}";
  return {
      {"D48 empty", "", "0 bytes are too few"},
      {"D48 seven bytes", std::string(7, '\0'), "7 bytes are too few"},
      {"D48 eight bytes, N = 0", std::string(8, '\0'), "offset 0: header length 0"},
      {"D48 N beyond the file", LittleEndian(3, 8) + "{}", "passes the end of the file"},
      {"D48 N = 2^64 - 1", std::string(8, '\xff') + "{}", "more than the limit"},
      {"D48 N = 100 MB + 1", LittleEndian(kMaxSafetensorsHeaderBytes + 1, 8) + "{}", "more than the limit"},
      {"D49 no brace", FileWithHeader(" {}", ""), "does not start with '{'"},
      {"D49 byte-order mark", FileWithHeader("\xEF\xBB\xBF{}", ""), "does not start with '{'"},
      {"D49 junk after", FileWithHeader("{}\n", ""), "does not end in '}'"},
      {"D49 two values", FileWithHeader("{}{}", ""), "not valid JSON"},
      {"D49 junk behind a NUL", FileWithHeader(std::string("{}\0}", 4), ""), "NUL"},
      {"D49 not UTF-8", FileWithHeader("{\"\xff\xfe\":1}", ""), "not valid JSON"},
      {"D49 name twice", Tensors(ok + "," + ok, "ab"), "duplicate key 't'"},
      {"D49 depth", FileWithHeader(Nested(100'000), ""), "nested deeper than 4"},
      {"D49 name too long", Tensors(TensorEntry(long_name, "U8", "2", "0,2"), "ab"), "name of 513 bytes"},
      {"D50 number", FileWithHeader("{\"__metadata__\":{\"k\":1}}", ""), "key 'k' is not a string"},
      {"D50 array", FileWithHeader("{\"__metadata__\":[]}", ""), "not an object"},
      {"D50 51 MB", FileWithHeader(metadata_of_51_mb, ""), "longer than 1048576 bytes"},
      {"D51 wraps to 0", Tensors(TensorEntry("t", "U8", "4294967296,4294967296", "0,0"), ""), "passes 2^63"},
      {"D51 wraps to 2", Tensors(TensorEntry("t", "U8", "9223372036854775807,2,2", "0,2"), "ab"), "passes 2^63"},
      {"D51 wraps behind a zero", Tensors(TensorEntry("t", "U8", "0,4294967296,4294967296", "0,0"), ""), "passes 2^63"},
      {"D51 wraps by element size", Tensors(TensorEntry("t", "F64", "2305843009213693952", "0,0"), ""), "passes 2^63"},
      {"D51 negative", Tensors(TensorEntry("t", "U8", "-2", "0,2"), "ab"), "shape holds -2"},
      {"D51 fraction", Tensors(TensorEntry("t", "U8", "2.0", "0,2"), "ab"), "shape holds 2.0"},
      {"D51 1e30", Tensors(TensorEntry("t", "U8", "1e30", "0,2"), "ab"), "shape holds 1e+30"},
      {"D51 2^64", Tensors(TensorEntry("t", "U8", "18446744073709551616", "0,2"), "ab"), "shape holds 1.8"},
      {"D51 rank 9", Tensors(TensorEntry("t", "U8", "1,1,1,1,1,1,1,1,2", "0,2"), "ab"), "9 dimensions"},
      {"D51 no array", Tensors("\"t\":{\"dtype\":\"U8\",\"shape\":2,\"data_offsets\":[0,2]}", "ab"), "not an array"},
      {"D52 shape too large", Tensors(TensorEntry("t", "U8", "3", "0,2"), "ab"), "span 2 bytes, but U8 [3] takes 3"},
      {"D52 shape too small", Tensors(TensorEntry("t", "U8", "1", "0,2"), "ab"), "span 2 bytes, but U8 [1] takes 1"},
      {"D53 begin after end", Tensors(TensorEntry("t", "U8", "2", "2,0"), "ab"), "begin at 2 after their end at 0"},
      {"D53 overlap", Tensors(ok + "," + TensorEntry("u", "U8", "2", "1,3"), "abc"),
       "tensor 'u': begins at data offset 1"},
      {"D53 gap", Tensors(ok + "," + TensorEntry("u", "U8", "1", "3,4"), "abcd"), "leaves a gap after 2"},
      {"D53 late start", Tensors(TensorEntry("t", "U8", "2", "1,3"), "abc"), "leaves a gap after 0"},
      {"D53 three offsets", Tensors(TensorEntry("t", "U8", "2", "0,1,2"), "ab"), "not an array of two integers"},
      {"D53 float offsets", Tensors(TensorEntry("t", "U8", "2", "0.0,2.0"), "ab"), "not an array of two integers"},
      {"D53 string offsets", Tensors(TensorEntry("t", "U8", "2", "\"0\",\"2\""), "ab"), "not an array of two integers"},
      {"D53 negative offset", Tensors(TensorEntry("t", "U8", "2", "-2,0"), "ab"), "not an array of two integers"},
      {"D54 empty, out of bounds", Tensors(ok + "," + TensorEntry("e", "U8", "0", "9,9"), "ab"), "beyond the 2 bytes"},
      {"D54 empty, inside another", Tensors(ok + "," + TensorEntry("e", "U8", "0", "1,1"), "ab"), "tensor 'e'"},
      {"D55 unknown dtype", Tensors(TensorEntry("t", "F8_E9", "2", "0,2"), "ab"), "dtype \"F8_E9\" is not supported"},
      {"D55 lower case", Tensors(TensorEntry("t", "u8", "2", "0,2"), "ab"), "dtype \"u8\" is not supported"},
      {"D55 sub-byte", Tensors(TensorEntry("t", "F4", "3", "0,2"), "ab"), "dtype \"F4\" is not supported"},
      {"D55 number", Tensors("\"t\":{\"dtype\":8,\"shape\":[2],\"data_offsets\":[0,2]}", "ab"), "dtype 8"},
      {"D56 truncated", Tensors(ok, "a"), "beyond the 1 bytes of data"},
      {"D60 bytes after", Tensors(ok, "abc"), "tensors end at data offset 2, but there are 3"},
      {"D60 pickle", "\x80\x02}q\x01.aaaaaaa", "not a safetensors file but a Python pickle"},
      {"D60 zip",
       "PK\x03\x04"
       "aaaaaaaaaaaa",
       "a zip archive"},
      {"D60 GGUF",
       "GGUF\x03"
       "aaaaaaaaaaaa",
       "a GGUF file"},
      {"D60 LFS pointer", "version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"},
      {"key beside the three", Tensors("\"t\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2],\"x\":1}", "ab"),
       "not an object of dtype, shape and data_offsets"},
      {"key missing", Tensors("\"t\":{\"dtype\":\"U8\",\"shape\":[2]}", "ab"),
       "not an object of dtype, shape and data_offsets"},
  };
}

TEST(SafetensorsReader, RefusesEveryBrokenHeaderNamingFileAndPlace) {
  for (const BadFile& bad : BadFiles()) {
    SCOPED_TRACE(bad.what);
    const auto reader = SafetensorsReader::Open(AFile(bad.contents, "bad.safetensors"));

    ASSERT_FALSE(reader.ok());
    EXPECT_EQ(reader.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(reader.status().message()), HasSubstr(bad.message));
    EXPECT_TRUE(absl::StartsWith(reader.status().message(), "bad.safetensors: ")) << reader.status();
  }
}

TEST(SafetensorsReader, AcceptsTheLimitsThemselves) {
  const std::string name(kMaxTensorNameBytes, 'n');
  const std::string metadata = "\"__metadata__\":{\"k\":\"" + std::string(kMaxMetadataBytes - 1, 'x') + "\"}";

  EXPECT_TRUE(SafetensorsReader::Open(AFile(Tensors(TensorEntry(name, "U8", "1,1,1,1,1,1,1,2", "0,2"), "ab"))).ok());
  EXPECT_TRUE(SafetensorsReader::Open(AFile(FileWithHeader("{" + metadata + "}", ""))).ok());
  EXPECT_TRUE(SafetensorsReader::Open(AFile(FileWithHeader("{}", ""))).ok());
}

// D49.
TEST(SafetensorsReader, RefusesMoreTensorsThanTheLimit) {
  std::string entries = "{";
  for (int i = 0; i <= static_cast<int>(kMaxTensorsPerFile); ++i) absl::StrAppend(&entries, "\"", i, "\":0,");
  entries.back() = '}';

  const auto reader = SafetensorsReader::Open(AFile(FileWithHeader(entries, "")));

  EXPECT_THAT(std::string(reader.status().message()), HasSubstr("1000001 tensors, more than 1000000"));
}

// D63: the size law is applied to the header alone.
TEST(SafetensorsReader, RefusesASparseTerabyteWithoutReadingIt) {
  std::uint64_t bytes_read = 0;
  const std::string start = Tensors(TensorEntry("t", "U8", "2", "0,2"), "");

  const auto reader = SafetensorsReader::Open(std::make_unique<SparseFile>(start, std::uint64_t{1} << 40, bytes_read));

  EXPECT_THAT(std::string(reader.status().message()), HasSubstr("bytes after the end"));
  EXPECT_LT(bytes_read, 1000u);
}

// D48: a length that can not be right allocates nothing and reads nothing more.
TEST(SafetensorsReader, ChecksTheHeaderLengthBeforeReadingTheHeader) {
  std::uint64_t bytes_read = 0;

  const auto reader = SafetensorsReader::Open(std::make_unique<SparseFile>(
      LittleEndian(kMaxSafetensorsHeaderBytes + 1, 8), std::uint64_t{1} << 40, bytes_read));

  EXPECT_FALSE(reader.ok());
  EXPECT_LE(bytes_read, 24u);
}

// D56: no mapped file, so a file that shrinks is an error and not a signal.
TEST(SafetensorsReader, ReportsAFileThatShrinks) {
  auto reader = SafetensorsReader::Open(
      std::make_unique<ShrinkingFile>(Tensors(TensorEntry("t", "U8", "64", "0,64"), std::string(64, 'x'))));
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::array<std::byte, 64> bytes{};

  const absl::Status status = reader->Read(*reader->Find("t"), 0, absl::MakeSpan(bytes));

  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("tensor 't'"));
}

}  // namespace
}  // namespace gptvq

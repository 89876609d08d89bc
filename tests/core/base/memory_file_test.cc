#include "core/base/memory_file.h"

#include <array>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(PlainFileName, RefusesWhatCouldLeaveTheDirectory) {
  for (const char* name : {"", ".", "..", "a/b", "/etc/passwd", "a\\b", "a b", "../x", "x\n", "https://host/x"}) {
    EXPECT_FALSE(IsPlainFileName(name)) << name;
  }
  EXPECT_FALSE(IsPlainFileName(std::string(256, 'a')));
  EXPECT_FALSE(IsPlainFileName(std::string_view("a\0b", 3)));
  EXPECT_TRUE(IsPlainFileName("model-00001-of-00002.safetensors"));
}

TEST(MemoryFile, ReadPastTheEndIsOutOfRangeEvenWhenTheSumWraps) {
  const MemoryFile file("f", "abcd");
  std::array<std::byte, 2> bytes;

  EXPECT_EQ(file.ReadAt(3, absl::MakeSpan(bytes)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(file.ReadAt(~0ull, absl::MakeSpan(bytes)).code(), absl::StatusCode::kOutOfRange);
  EXPECT_TRUE(file.ReadAt(2, absl::MakeSpan(bytes)).ok());
  EXPECT_EQ(bytes[1], std::byte{'d'});
}

TEST(MemoryDirectory, FileIsInvisibleUntilClosed) {
  MemoryDirectory directory;
  auto file = directory.Create("x");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append(AsBytes("hello")).ok());
  EXPECT_EQ(directory.Open("x").status().code(), absl::StatusCode::kNotFound);

  ASSERT_TRUE((*file)->Close().ok());

  auto opened = directory.Open("x");
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(ReadWholeFile(**opened, 5).value(), "hello");
  EXPECT_EQ(ReadWholeFile(**opened, 4).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace gptvq

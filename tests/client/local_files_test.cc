#include "client/local_files.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string ContentsOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(LocalFiles, OpensAPathAndAUriAlike) {
  const TemporaryDirectory directory;
  directory.WriteFile("a.txt", "hello");

  for (const std::string& location : {directory.Join("a.txt"), "file://" + directory.Join("a.txt")}) {
    const auto file = OpenLocalFile(Storage({}), location);

    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(ReadWholeFile(**file, 100).value(), "hello");
  }
}

TEST(LocalFiles, FollowsTheUsersOwnLinks) {
  const TemporaryDirectory directory;
  directory.WriteFile("real/a.txt", "hello");
  std::filesystem::create_directory_symlink(directory.Join("real"), directory.Join("link"));

  const auto file = OpenLocalFile(Storage({}), directory.Join("link/a.txt"));

  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(ReadWholeFile(**file, 100).value(), "hello");
}

TEST(LocalFiles, WhatIsMissingIsNotFoundByName) {
  const TemporaryDirectory directory;
  const std::string missing = directory.Join("missing");

  EXPECT_EQ(OpenLocalFile(Storage({}), missing).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(OpenLocalDirectory(Storage({}), missing).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(CreateLocalFile(Storage({}), missing + "/a.txt").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(OpenLocalFile(Storage({}), missing).status().message()), HasSubstr("missing"));
  EXPECT_THAT(std::string(CreateLocalFile(Storage({}), missing + "/a.txt").status().message()), HasSubstr("missing"));
  EXPECT_FALSE(std::filesystem::exists(missing)) << "a misspelt directory is not made";
}

TEST(LocalFiles, RefusesLocationsOfOtherKinds) {
  for (const char* location : {"", "http://host/a", "file://host/a", "file:///a/../b"}) {
    EXPECT_EQ(OpenLocalFile(Storage({}), location).status().code(), absl::StatusCode::kInvalidArgument) << location;
    EXPECT_EQ(CreateLocalFile(Storage({}), location).status().code(), absl::StatusCode::kInvalidArgument) << location;
    EXPECT_EQ(OpenLocalDirectory(Storage({}), location).status().code(), absl::StatusCode::kInvalidArgument)
        << location;
    EXPECT_EQ(CreateLocalDirectory(Storage({}), location).status().code(), absl::StatusCode::kInvalidArgument)
        << location;
  }
}

TEST(LocalFiles, NewFileAppearsWhenItIsClosed) {
  const TemporaryDirectory directory;
  const std::string path = directory.Join("out.bin");

  auto file = CreateLocalFile(Storage({}), path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Append(AsBytes("bytes")).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE((*file)->Close().ok());

  EXPECT_EQ(ContentsOf(path), "bytes");
}

TEST(LocalFiles, FileThatIsNeverClosedLeavesTheOldOne) {
  const TemporaryDirectory directory;
  directory.WriteFile("out.bin", "old");

  {
    auto file = CreateLocalFile(Storage({}), directory.Join("out.bin"));
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Append(AsBytes("new")).ok());
  }

  EXPECT_EQ(ContentsOf(directory.Join("out.bin")), "old");
  EXPECT_EQ(OpenLocalDirectory(Storage({}), directory.path()).value()->List().value().size(), 1u);
}

TEST(LocalFiles, RootIsNoNameForANewFile) {
  EXPECT_EQ(CreateLocalFile(Storage({}), "/").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(LocalFiles, NewDirectoryIsMadeAndTakesFiles) {
  const TemporaryDirectory directory;
  const std::string path = directory.Join("a/b");

  const auto created = CreateLocalDirectory(Storage({}), path);
  ASSERT_TRUE(created.ok()) << created.status();
  auto file = (*created)->Create("x");
  ASSERT_TRUE(file.ok() && (*file)->Append(AsBytes("1")).ok() && (*file)->Close().ok());

  EXPECT_THAT(OpenLocalDirectory(Storage({}), path).value()->List().value(), ElementsAre("x"));
}

}  // namespace
}  // namespace gptvq

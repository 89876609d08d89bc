#include "platform/object_store/storage.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ObjectUri UriOf(const std::string& path) { return ObjectUri::ParseArgument(path).value(); }

TEST(Storage, DirectoryHoldsTheFilesOfItsUri) {
  const TemporaryDirectory directory;
  directory.WriteFile("model/config.json", "{}");
  directory.WriteFile("model/deeper/x", "1");
  const Storage storage({});

  auto model = storage.OpenDirectory(UriOf(directory.Join("model")));

  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT((*model)->List().value(), ElementsAre("config.json"));
  EXPECT_EQ(ReadWholeFile(**(*model)->Open("config.json"), 10).value(), "{}");
  EXPECT_EQ((*model)->Open("deeper/x").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*model)->Open("../x").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*model)->Open("absent").status().code(), absl::StatusCode::kNotFound);
}

TEST(Storage, OutputDirectoryIsMadeWhenItIsMissing) {
  const TemporaryDirectory directory;
  const Storage storage({});

  auto output = storage.CreateDirectory(UriOf(directory.Join("new/output")));
  ASSERT_TRUE(output.ok()) << output.status();
  auto file = (*output)->Create("model.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Append(AsBytes("abc")).ok());
  ASSERT_TRUE((*file)->Close().ok());

  EXPECT_EQ(std::filesystem::file_size(directory.Join("new/output/model.safetensors")), 3u);
  EXPECT_EQ((*output)->Create("a/b").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Storage, SeesWhatIsInTheWayOfADirectoryAndMakesNone) {
  const TemporaryDirectory directory;
  directory.WriteFile("model/config.json", "{}");
  const Storage storage({});
  const Storage confined({.file_roots = {directory.path()}});

  for (const char* place : {"model", "new", "new/deep/er"}) {
    EXPECT_TRUE(storage.CheckCreatable(UriOf(directory.Join(place))).ok()) << place;
    EXPECT_TRUE(confined.CheckCreatable(UriOf(directory.Join(place))).ok()) << place;
  }
  for (const char* place : {"model/config.json", "model/config.json/a/b"}) {
    const absl::Status status = confined.CheckCreatable(UriOf(directory.Join(place)));
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(directory.Join("model/config.json: is a file")));
  }
  EXPECT_EQ(storage.CheckCreatable(UriOf("/dev/null/x")).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(confined.CheckCreatable(UriOf("/elsewhere")).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(std::filesystem::exists(directory.Join("new")));
}

TEST(Storage, MissingDirectoryIsNotFoundAndNamed) {
  const TemporaryDirectory directory;

  const absl::Status status = Storage({}).OpenDirectory(UriOf(directory.Join("absent"))).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr(directory.Join("absent")));
}

TEST(Storage, OpensAFileWhoseNameIsNoKey) {
  const TemporaryDirectory directory;
  directory.WriteFile("my notes \xff.txt", "text");

  auto file = Storage({}).OpenFile(UriOf(directory.Join("my notes \xff.txt")));

  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(ReadWholeFile(**file, 10).value(), "text");
}

TEST(Storage, RootsConfineEveryUri) {
  const TemporaryDirectory allowed;
  const TemporaryDirectory forbidden;
  allowed.WriteFile("model/x", "1");
  forbidden.WriteFile("model/x", "1");
  std::filesystem::create_directory_symlink(forbidden.path(), allowed.Join("link"));
  const Storage storage({.file_roots = {allowed.path() + "/"}});

  EXPECT_TRUE(storage.OpenDirectory(ObjectUri::Parse("file://" + allowed.Join("model")).value()).ok());
  EXPECT_TRUE(storage.OpenFile(ObjectUri::Parse("file://" + allowed.Join("model/x")).value()).ok());
  EXPECT_TRUE(storage.CreateDirectory(ObjectUri::Parse("file://" + allowed.Join("a/b")).value()).ok());
  for (const std::string& path :
       {forbidden.Join("model"), allowed.Join("link/model"), allowed.path() + "x/model", std::string("/etc")}) {
    const ObjectUri uri = ObjectUri::Parse("file://" + path).value();
    EXPECT_EQ(storage.OpenDirectory(uri).status().code(), absl::StatusCode::kPermissionDenied) << path;
    EXPECT_EQ(storage.CreateDirectory(uri).status().code(), absl::StatusCode::kPermissionDenied) << path;
    EXPECT_EQ(storage.OpenFile(ObjectUri::Parse("file://" + path + "/x").value()).status().code(),
              absl::StatusCode::kPermissionDenied)
        << path;
  }
}

// As in the cache of Hugging Face: a snapshot of links to files named by their digests.
void WriteSnapshot(const TemporaryDirectory& cache) {
  cache.WriteFile("blobs/0a1b", "{}");
  std::filesystem::create_directories(cache.Join("snapshots/main"));
  std::filesystem::create_symlink("../../blobs/0a1b", cache.Join("snapshots/main/config.json"));
  std::filesystem::create_symlink("../../blobs", cache.Join("snapshots/main/directory"));
  std::filesystem::create_symlink("../../blobs/gone", cache.Join("snapshots/main/dangling"));
}

TEST(Storage, ReadsASnapshotOfLinks) {
  const TemporaryDirectory cache;
  WriteSnapshot(cache);
  for (const Storage& storage : {Storage({}), Storage({.file_roots = {cache.path()}})}) {
    auto snapshot = storage.OpenDirectory(UriOf(cache.Join("snapshots/main")));
    auto text = storage.OpenFile(ObjectUri::Parse("file://" + cache.Join("snapshots/main/config.json")).value());

    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    EXPECT_THAT((*snapshot)->List().value(), ElementsAre("config.json"));
    EXPECT_EQ(ReadWholeFile(**(*snapshot)->Open("config.json"), 10).value(), "{}");
    EXPECT_EQ((*snapshot)->Open("dangling").status().code(), absl::StatusCode::kNotFound);
    EXPECT_EQ((*snapshot)->Open("directory").status().code(), absl::StatusCode::kFailedPrecondition);
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_EQ(ReadWholeFile(**text, 10).value(), "{}");
  }
}

TEST(Storage, NoLinkLeadsOutOfTheRoots) {
  const TemporaryDirectory cache;
  WriteSnapshot(cache);
  const Storage storage({.file_roots = {cache.Join("snapshots")}});

  auto snapshot = storage.OpenDirectory(UriOf(cache.Join("snapshots/main")));

  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_THAT((*snapshot)->List().value(), ElementsAre());
  const absl::Status status = (*snapshot)->Open("config.json").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("a symbolic link leads outside"));
}

TEST(Storage, NothingIsWrittenThroughALink) {
  const TemporaryDirectory directory;
  directory.WriteFile("real/x", "as it was");
  std::filesystem::create_directory_symlink("real", directory.Join("link"));
  const Storage storage({.file_roots = {directory.path()}});

  EXPECT_EQ(storage.CreateDirectory(ObjectUri::Parse("file://" + directory.Join("link")).value()).status().code(),
            absl::StatusCode::kPermissionDenied);
  auto output = storage.CreateDirectory(UriOf(directory.Join("output")));
  ASSERT_TRUE(output.ok()) << output.status();
  std::filesystem::create_symlink("../real/x", directory.Join("output/x"));
  auto file = (*output)->Create("x");
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Append(AsBytes("new")).ok());
  ASSERT_TRUE((*file)->Close().ok());

  EXPECT_EQ(ReadWholeFile(**storage.OpenFile(UriOf(directory.Join("real/x"))), 10).value(), "as it was");
}

TEST(StorageOptions, RootsMustBeAbsoluteDirectoriesThatAreThere) {
  const TemporaryDirectory directory;
  std::ofstream(directory.Join("file")) << "no directory";

  const StorageOptions sound = {.file_roots = {directory.path(), directory.path() + "/"}};
  EXPECT_TRUE(sound.Validate().ok());
  for (const std::string& root : {std::string("data"), directory.Join("missing"), directory.Join("file")}) {
    const absl::Status status = StorageOptions{.file_roots = {root}}.Validate();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << root;
    EXPECT_THAT(std::string(status.message()), HasSubstr(root));
  }
}

TEST(Storage, WithoutAConnectorThereIsNoS3) {
  const ObjectUri uri = ObjectUri::Parse("s3://bucket/x").value();
  const Storage storage({});

  EXPECT_EQ(storage.OpenStore(uri).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(storage.CreateStore(uri).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(storage.CheckCreatable(uri).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(storage.OpenDirectory(uri).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(storage.CreateDirectory(uri).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(storage.OpenFile(uri).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Storage, WithoutRootsOpensWhatTheOperatorNames) {
  const TemporaryDirectory allowed;
  const TemporaryDirectory outside;
  const Storage storage({.file_roots = {allowed.path()}});

  EXPECT_EQ(storage.OpenStore(UriOf(outside.path())).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(storage.WithoutRoots().OpenStore(UriOf(outside.path())).ok());
}

}  // namespace
}  // namespace gptvq

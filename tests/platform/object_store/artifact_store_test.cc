#include "platform/object_store/artifact_store.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/support/memory_object_store.h"

namespace gptvq {
namespace {

// SHA-256 of "abc", FIPS 180-2 appendix B.1.
constexpr char kAbcHex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(ArtifactStore, NamesBytesByTheirDigest) {
  MemoryObjectStore objects;
  ArtifactStore artifacts(objects);

  const Digest digest = artifacts.PutArtifact(AsBytes("abc")).value();

  EXPECT_EQ(digest.hex(), kAbcHex);
  EXPECT_EQ(objects.Stat(std::string("artifacts/sha256/ba/") + kAbcHex)->size_bytes, 3u);
  EXPECT_TRUE(artifacts.Contains(digest).value());
  EXPECT_EQ(ReadWholeFile(**artifacts.OpenArtifact(digest), 3).value(), "abc");
}

TEST(ArtifactStore, StreamsWithoutWritingWhatIsThereAlready) {
  MemoryObjectStore objects;
  ArtifactStore artifacts(objects);
  int call_count = 0;
  const auto write = [&](WritableFile& file) {
    ++call_count;
    absl::Status status = file.Append(AsBytes("a"));
    return status.ok() ? file.Append(AsBytes("bc")) : status;
  };

  EXPECT_EQ(artifacts.PutArtifact(write)->hex(), kAbcHex);
  EXPECT_EQ(call_count, 2);
  EXPECT_EQ(artifacts.PutArtifact(write)->hex(), kAbcHex);
  EXPECT_EQ(call_count, 3);
}

TEST(ArtifactStore, PutsADamagedArtifactRight) {
  MemoryObjectStore objects;
  ArtifactStore artifacts(objects);
  auto damaged = objects.Create(std::string("artifacts/sha256/ba/") + kAbcHex);
  ASSERT_TRUE((*damaged)->Append(AsBytes("abd")).ok());
  ASSERT_TRUE((*damaged)->Close().ok());

  const Digest digest = artifacts.PutArtifact(AsBytes("abc")).value();

  EXPECT_EQ(ReadWholeFile(**artifacts.OpenArtifact(digest), 3).value(), "abc");
}

TEST(ArtifactStore, WriterThatChangesItsMindStoresNothing) {
  MemoryObjectStore objects;
  ArtifactStore artifacts(objects);
  int call_count = 0;

  const auto digest = artifacts.PutArtifact(
      [&](WritableFile& file) { return file.Append(AsBytes(++call_count == 1 ? "abc" : "abd")); });

  EXPECT_EQ(digest.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(objects.List("", ListScope::kRecursive)->empty());
}

TEST(ArtifactStore, AnnouncedArtifactAppearsOnlyWithItsBytes) {
  MemoryObjectStore objects;
  ArtifactStore artifacts(objects);
  const Digest abc = Digest::FromHex(kAbcHex, 3).value();
  for (const char* contents : {"abd", "ab", "abcd", ""}) {
    auto file = artifacts.CreateArtifact(abc);
    ASSERT_TRUE(file.ok());
    absl::Status status = (*file)->Append(AsBytes(contents));
    if (status.ok()) status = (*file)->Close();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << contents;
    EXPECT_FALSE(artifacts.Contains(abc).value());
  }

  auto file = artifacts.CreateArtifact(abc);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append(AsBytes("abc")).ok());
  ASSERT_TRUE((*file)->Close().ok());

  EXPECT_TRUE(artifacts.Contains(abc).value());
}

TEST(ArtifactStore, DamagedArtifactIsDataLoss) {
  MemoryObjectStore objects;
  ArtifactStore artifacts(objects);
  const std::string contents(3 << 20, 'x');
  const Digest digest = artifacts.PutArtifact(AsBytes(contents)).value();
  std::string flipped = contents;
  flipped[(2 << 20) + 17] ^= 1;

  objects.Put(ArtifactStore::KeyOf(digest), flipped);
  EXPECT_EQ(artifacts.OpenArtifact(digest).status().code(), absl::StatusCode::kDataLoss);
  objects.Put(ArtifactStore::KeyOf(digest), contents.substr(1));
  EXPECT_EQ(artifacts.OpenArtifact(digest).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(artifacts.Contains(digest).value());
  ASSERT_TRUE(artifacts.DeleteArtifact(digest).ok());
  EXPECT_EQ(artifacts.OpenArtifact(digest).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace gptvq

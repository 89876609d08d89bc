#include "platform/object_store/artifact_upload.h"

#include <string>
#include <string_view>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/object_store/artifact_store.h"
#include "tests/support/memory_object_store.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;

// An artifact of two parts and a half, and what a process left of it that ended somewhere in the third.
class ArtifactUploadTest : public testing::Test {
 protected:
  ArtifactUploadTest() {
    for (std::size_t i = 0; i < contents_.size(); ++i) contents_[i] = static_cast<char>(i ^ (i >> 8) ^ (i >> 16));
    name_ = {Digest::Of(AsBytes(contents_)), "uploads/journal/job/task/1/0-x"};
  }

  void LeaveOne(std::size_t received_bytes) {
    ArtifactUpload upload = ArtifactUpload::Begin(objects_, name_).value();
    ASSERT_TRUE(AppendTo(upload, 0, received_bytes).ok());
  }
  absl::Status AppendTo(ArtifactUpload& upload, std::size_t begin, std::size_t end) {
    return upload.Append(AsBytes(std::string_view(contents_).substr(begin, end - begin)));
  }
  std::string ReadRecord() { return ReadWholeFile(**objects_.Open(name_.record_key), 10'000).value(); }
  std::vector<ObjectInfo> Objects() { return objects_.List("", ListScope::kRecursive).value(); }

  std::string contents_ = std::string(2 * kSavedPartBytes + kSavedPartBytes / 2, '\0');
  UploadName name_;
  MemoryObjectStore objects_;
  ArtifactStore artifacts_{objects_};
};

TEST_F(ArtifactUploadTest, GoesOnBehindTheLastPart) {
  LeaveOne(2 * kSavedPartBytes + 4711);

  auto upload = ArtifactUpload::Resume(objects_, name_);
  ASSERT_TRUE(upload.ok()) << upload.status();
  EXPECT_EQ(upload->received_bytes(), 2 * kSavedPartBytes);
  ASSERT_TRUE(AppendTo(*upload, 2 * kSavedPartBytes, contents_.size()).ok());
  const absl::Status finished = upload->Finish();

  ASSERT_TRUE(finished.ok()) << finished;
  EXPECT_TRUE(artifacts_.OpenArtifact(name_.artifact).ok());
  EXPECT_THAT(Objects(), ElementsAre(Field(&ObjectInfo::size_bytes, contents_.size())));  // and no record
  EXPECT_EQ(objects_.saved_count(), 0u);
}

TEST_F(ArtifactUploadTest, NothingIsLeftOfLessThanAPart) {
  LeaveOne(kSavedPartBytes - 1);

  EXPECT_EQ(ArtifactUpload::Resume(objects_, name_).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Objects(), IsEmpty());
}

TEST_F(ArtifactUploadTest, WholeArtifactOfAPartHasNoRecord) {
  contents_.resize(kSavedPartBytes);
  name_.artifact = Digest::Of(AsBytes(contents_));
  ArtifactUpload upload = ArtifactUpload::Begin(objects_, name_).value();
  ASSERT_TRUE(AppendTo(upload, 0, contents_.size()).ok());
  EXPECT_THAT(Objects(), IsEmpty());

  ASSERT_TRUE(upload.Finish().ok());

  EXPECT_TRUE(artifacts_.OpenArtifact(name_.artifact).ok());
}

TEST_F(ArtifactUploadTest, OtherBytesBehindTheSavedOnesLeaveNothing) {
  LeaveOne(kSavedPartBytes);
  ArtifactUpload upload = ArtifactUpload::Resume(objects_, name_).value();
  ASSERT_TRUE(upload.Append(AsBytes(std::string(contents_.size() - kSavedPartBytes, 'x'))).ok());

  EXPECT_EQ(upload.Finish().code(), absl::StatusCode::kDataLoss);

  EXPECT_THAT(Objects(), IsEmpty());
  EXPECT_EQ(objects_.saved_count(), 0u);
}

TEST_F(ArtifactUploadTest, BytesOfTheSavedPartsAreCheckedToo) {
  LeaveOne(kSavedPartBytes);
  contents_[0] ^= 1;  // what is announced now had another beginning
  const UploadName other = {Digest::Of(AsBytes(contents_)), name_.record_key};
  std::string record = ReadRecord();
  record.replace(record.find('\n') + 1, 64, other.artifact.hex());
  objects_.Put(name_.record_key, record);
  ArtifactUpload upload = ArtifactUpload::Resume(objects_, other).value();
  ASSERT_TRUE(AppendTo(upload, kSavedPartBytes, contents_.size()).ok());

  EXPECT_EQ(upload.Finish().code(), absl::StatusCode::kDataLoss);

  EXPECT_FALSE(artifacts_.Contains(other.artifact).value());
}

TEST_F(ArtifactUploadTest, RecordsThatAreOfNoUseAreDeleted) {
  LeaveOne(kSavedPartBytes);
  const std::string record = ReadRecord();
  const std::size_t ticket = record.rfind('\n', record.size() - 2) + 1;
  for (const std::string& damaged : std::vector<std::string>{
           "",
           "gptvq-upload 2" + record.substr(14),
           record.substr(0, record.size() - 1),
           record.substr(0, ticket) + "of another store\n",
           record.substr(0, ticket) + "write-99 8388608\n",
           record + "more\n",
           "gptvq-upload 1\n" + std::string(64, '0') + record.substr(15 + 64),
           std::string(2 << 20, 'x'),
       }) {
    objects_.Put(name_.record_key, damaged);

    EXPECT_EQ(ArtifactUpload::Resume(objects_, name_).status().code(), absl::StatusCode::kNotFound) << damaged;

    EXPECT_THAT(Objects(), IsEmpty());
  }
  for (const char* size : {"0", "1", "8388607", "16777216 ", "18446744073699065856", "-8388608"}) {
    std::string other_size = record;
    other_size.replace(record.find(" 8388608\n"), 8, std::string(" ") + size);
    objects_.Put(name_.record_key, other_size);

    EXPECT_EQ(ArtifactUpload::Resume(objects_, name_).status().code(), absl::StatusCode::kNotFound) << size;
  }
}

TEST_F(ArtifactUploadTest, ANewOneFreesWhatAnEarlierOneSaved) {
  LeaveOne(2 * kSavedPartBytes);
  ASSERT_EQ(objects_.saved_count(), 1u);

  const ArtifactUpload upload = ArtifactUpload::Begin(objects_, name_).value();

  EXPECT_EQ(objects_.saved_count(), 0u);
  EXPECT_THAT(Objects(), IsEmpty());
}

TEST_F(ArtifactUploadTest, DiscardsWithoutTheArtifactsName) {
  LeaveOne(2 * kSavedPartBytes);

  ASSERT_TRUE(ArtifactUpload::DiscardSaved(objects_, name_.record_key).ok());

  EXPECT_EQ(objects_.saved_count(), 0u);
  EXPECT_THAT(Objects(), IsEmpty());
  EXPECT_TRUE(ArtifactUpload::DiscardSaved(objects_, name_.record_key).ok());  // once more
}

}  // namespace
}  // namespace gptvq

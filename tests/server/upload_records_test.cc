#include "server/upload_records.h"

#include <gtest/gtest.h>

#include <string>

#include "core/base/file.h"
#include "platform/object_store/object_store.h"

namespace gptvq {
namespace {

const std::string kJournal(64, 'f');
const UploadKey kUpload = {"job-0123456789abcdef/quantize-11", (std::int64_t{7} << 32) + 3, 79,
                           Digest::Of(AsBytes("layer"))};

TEST(UploadRecords, SayWhoseUploadTheyAreOf) {
  const std::string directory = UploadsDirectory(kJournal);

  const std::string key = UploadRecordKey(directory, kUpload);

  EXPECT_TRUE(IsObjectKey(key)) << key;
  EXPECT_EQ(OwnerOfUpload(directory, key), (UploadOwner{kUpload.task_id, kUpload.epoch}));
}

TEST(UploadRecords, DifferForEveryUpload) {
  const std::string directory = UploadsDirectory(kJournal);
  UploadKey other_task = kUpload, other_epoch = kUpload, other_layer = kUpload, other_bytes = kUpload;
  other_task.task_id = "job-0123456789abcdef/quantize-1";
  ++other_epoch.epoch;
  ++other_layer.layer;
  other_bytes.digest = Digest::Of(AsBytes("another"));

  for (const UploadKey& other : {other_task, other_epoch, other_layer, other_bytes}) {
    EXPECT_NE(UploadRecordKey(directory, other), UploadRecordKey(directory, kUpload));
  }
  EXPECT_NE(UploadsDirectory(std::string(64, 'e')), directory);
}

TEST(UploadRecords, WhatIsNoRecordHasNoOwner) {
  const std::string directory = UploadsDirectory(kJournal);
  const std::string key = UploadRecordKey(directory, kUpload);
  for (const std::string& other :
       {std::string(), directory, directory + "/", directory + "/readme", directory + "x/job/task/1/0-x", key + "/more",
        directory + "/job/task/first/0-x", UploadRecordKey(UploadsDirectory(std::string(64, 'e')), kUpload)}) {
    EXPECT_FALSE(OwnerOfUpload(directory, other).has_value()) << other;
  }
}

}  // namespace
}  // namespace gptvq

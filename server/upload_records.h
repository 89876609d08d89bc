#ifndef GPTVQ_SERVER_UPLOAD_RECORDS_H_
#define GPTVQ_SERVER_UPLOAD_RECORDS_H_

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/sha256.h"

namespace gptvq {

// Which upload: of these bytes, under this grant of this task. A later grant has another epoch, and nothing of an earlier one.
struct UploadKey {
  std::string task_id;
  std::int64_t epoch = 0;
  int layer = 0;
  Digest digest;

  friend auto operator<=>(const UploadKey&, const UploadKey&) = default;
};

// Where the coordinators of one journal keep what they know of uploads that are under way, in the object store: "uploads/<journal>".
// `journal` is a name that no other journal has, at least 16 characters of [0-9a-f].
std::string UploadsDirectory(std::string_view journal);

// The record of one upload: "<directory>/<task>/<epoch>/<layer>-<digest>".
std::string UploadRecordKey(std::string_view directory, const UploadKey& upload);

// Whose upload a record is of; nullopt for what is no record below that directory.
struct UploadOwner {
  std::string task_id;
  std::int64_t epoch = 0;

  friend bool operator==(const UploadOwner&, const UploadOwner&) = default;
};
std::optional<UploadOwner> OwnerOfUpload(std::string_view directory, std::string_view record_key);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_UPLOAD_RECORDS_H_

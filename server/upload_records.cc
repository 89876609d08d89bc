#include "server/upload_records.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace gptvq {
namespace {

constexpr std::size_t kJournalCharacters = 16;

}  // namespace

std::string UploadsDirectory(std::string_view journal) {
  return absl::StrCat("uploads/", std::string(journal.substr(0, kJournalCharacters)));
}

std::string UploadRecordKey(std::string_view directory, const UploadKey& upload) {
  return absl::StrCat(std::string(directory), "/", upload.task_id, "/", upload.epoch, "/", upload.layer, "-",
                      upload.digest.hex());
}

std::optional<UploadOwner> OwnerOfUpload(std::string_view directory, std::string_view record_key) {
  if (!record_key.starts_with(directory)) return std::nullopt;
  record_key.remove_prefix(directory.size());
  const std::vector<std::string> segments =
      absl::StrSplit(absl::string_view(record_key.data(), record_key.size()), '/');
  // "", the two of a task's id, its epoch, the upload
  std::int64_t epoch = 0;
  if (segments.size() != 5 || !segments[0].empty() || !absl::SimpleAtoi(segments[3], &epoch)) return std::nullopt;
  return UploadOwner{absl::StrCat(segments[1], "/", segments[2]), epoch};
}

}  // namespace gptvq

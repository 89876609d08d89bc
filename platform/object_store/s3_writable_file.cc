#include "platform/object_store/s3_writable_file.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/object_store/s3_answers.h"

namespace gptvq {
namespace {

constexpr std::size_t kFirstPartBytes = 8 << 20;  // S3 takes no smaller part than 5 MiB but the last
constexpr std::size_t kPartsPerSize = 1000;
constexpr std::size_t kMaxParts = 10'000;
// Putting many parts together takes S3 minutes, in which it need not say a word.
constexpr std::chrono::seconds kCompletionSilence(600);

constexpr std::size_t kMd5Bytes = 16;

// An ETag without its quotes: some servers leave them out in XML.
std::string_view Bare(std::string_view etag) {
  const bool is_quoted = etag.size() >= 2 && etag.starts_with('"') && etag.ends_with('"');
  return is_quoted ? etag.substr(1, etag.size() - 2) : etag;
}

// The upload of a live writer is gone: somebody aborted it. Whoever writes again may succeed.
absl::Status Vanished(const S3Place& place, const absl::Status& cause) {
  return absl::UnavailableError(absl::StrCat(
      place.ToString(), ": the upload vanished before it was complete; write it again (", cause.message(), ")"));
}

}  // namespace

std::size_t S3PartBytes(std::size_t part_number) { return kFirstPartBytes << ((part_number - 1) / kPartsPerSize); }

std::optional<std::string> S3MultipartEtag(const std::vector<std::string>& part_etags) {
  std::string md5s;
  for (const std::string& etag : part_etags) {
    const std::string_view digits = Bare(etag);
    const bool is_md5 =
        digits.size() == 2 * kMd5Bytes &&
        std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return absl::ascii_isxdigit(c); });
    if (!is_md5) return std::nullopt;
    md5s += absl::HexStringToBytes(absl::string_view(digits.data(), digits.size()));
  }
  std::array<unsigned char, kMd5Bytes> md5;
  if (EVP_Digest(md5s.data(), md5s.size(), md5.data(), nullptr, EVP_md5(), nullptr) != 1) return std::nullopt;
  const absl::string_view bytes(reinterpret_cast<const char*>(md5.data()), md5.size());
  return absl::StrCat("\"", absl::BytesToHexString(bytes), "-", part_etags.size(), "\"");
}

S3WritableFile::S3WritableFile(std::shared_ptr<const S3Client> client, S3Place place)
    : client_(std::move(client)), place_(std::move(place)) {}

S3WritableFile::~S3WritableFile() {
  if (upload_id_.empty()) return;
  client_
      ->Send({.method = "DELETE",
              .place = place_,
              .query = {{"uploadId", upload_id_}},
              .persistence = S3Persistence::kOnce})
      .status()
      .IgnoreError();
}

absl::Status S3WritableFile::Append(absl::Span<const std::byte> bytes) {
  GPTVQ_RETURN_IF_ERROR(status_);
  while (!bytes.empty()) {
    const std::size_t part_bytes = S3PartBytes(part_etags_.size() + 1);
    if (pending_.size() == part_bytes) {  // only now, so that the last part is never empty
      GPTVQ_RETURN_IF_ERROR(Record(SendPart()));
      continue;
    }
    const std::size_t taken = std::min(part_bytes - pending_.size(), bytes.size());
    pending_.insert(pending_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken));
    bytes.remove_prefix(taken);
  }
  return absl::OkStatus();
}

absl::Status S3WritableFile::Close() {
  GPTVQ_RETURN_IF_ERROR(status_);
  if (upload_id_.empty()) return Record(PutWhole());
  GPTVQ_RETURN_IF_ERROR(Record(SendPart()));
  GPTVQ_RETURN_IF_ERROR(Record(Complete()));
  upload_id_.clear();  // there is nothing left to abort
  return absl::OkStatus();
}

absl::Status S3WritableFile::SendPart() {
  if (upload_id_.empty()) GPTVQ_RETURN_IF_ERROR(Begin());
  if (part_etags_.size() == kMaxParts) {
    return absl::ResourceExhaustedError(absl::StrCat(place_.ToString(), ": longer than ", kMaxParts, " parts"));
  }
  const absl::StatusOr<HttpResponse> response =
      client_->Send({.method = "PUT",
                     .place = place_,
                     .query = {{"partNumber", absl::StrCat(part_etags_.size() + 1)}, {"uploadId", upload_id_}},
                     .body = pending_});
  if (absl::IsNotFound(response.status())) return Vanished(place_, response.status());
  GPTVQ_RETURN_IF_ERROR(response.status());
  const std::string_view etag = response->Header("etag");
  if (etag.empty()) return absl::UnavailableError(absl::StrCat(place_.ToString(), ": the server gave a part no ETag"));
  part_etags_.emplace_back(etag);
  sent_bytes_ += pending_.size();
  pending_.clear();
  return absl::OkStatus();
}

absl::Status S3WritableFile::Begin() {
  GPTVQ_ASSIGN_OR_RETURN(const HttpResponse response,
                         client_->Send({.method = "POST",
                                        .place = place_,
                                        .query = {{"uploads", ""}},
                                        .expected_root = "InitiateMultipartUploadResult"}));
  GPTVQ_ASSIGN_OR_RETURN(upload_id_, ParseUploadId(response.body));
  return absl::OkStatus();
}

absl::Status S3WritableFile::Complete() {
  const std::string xml = CompleteUploadXml(part_etags_);
  const absl::StatusOr<HttpResponse> response = client_->Send({.method = "POST",
                                                               .place = place_,
                                                               .query = {{"uploadId", upload_id_}},
                                                               .body = AsBytes(xml),
                                                               .expected_root = "CompleteMultipartUploadResult",
                                                               .silence = kCompletionSilence});
  if (response.ok()) {
    GPTVQ_ASSIGN_OR_RETURN(const std::string etag, ParseCompletedEtag(response->body));
    return CheckCompleted(etag);
  }
  // The upload is gone: an earlier attempt, whose answer was lost, has completed it, or somebody aborted it.
  if (!absl::IsNotFound(response.status())) return response.status();
  const std::optional<std::string> etag = S3MultipartEtag(part_etags_);
  const absl::StatusOr<S3ObjectHead> head = client_->Head(place_);
  if (etag && head.ok() && Bare(head->etag) == Bare(*etag) && head->size_bytes == sent_bytes_) return absl::OkStatus();
  return Vanished(place_, response.status());
}

absl::Status S3WritableFile::CheckCompleted(const std::string& etag) {
  GPTVQ_ASSIGN_OR_RETURN(const S3ObjectHead head, client_->Head(place_));
  if (head.size_bytes == sent_bytes_) return absl::OkStatus();
  // With another ETag somebody has replaced the object in between, as they may.
  const std::string ours = etag.empty() ? S3MultipartEtag(part_etags_).value_or("") : etag;
  if (!ours.empty() && Bare(head.etag) != Bare(ours)) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(place_.ToString(), ": has ", head.size_bytes, " bytes, but ", sent_bytes_, " were sent"));
}

absl::Status S3WritableFile::PutWhole() {
  GPTVQ_ASSIGN_OR_RETURN(const HttpResponse response,
                         client_->Send({.method = "PUT", .place = place_, .body = pending_}));
  if (!response.Header("etag").empty()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(place_.ToString(), ": the server gave the object no ETag"));
}

absl::Status S3WritableFile::Record(absl::Status status) {
  if (!status.ok()) status_ = status;
  return status;
}

}  // namespace gptvq

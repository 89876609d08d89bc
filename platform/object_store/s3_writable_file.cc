#include "platform/object_store/s3_writable_file.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "platform/object_store/s3_answers.h"

namespace gptvq {
namespace {

constexpr std::size_t kFirstPartBytes = kSavedPartBytes;  // S3 takes no smaller part than 5 MiB but the last
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

S3WritableFile::S3WritableFile(std::shared_ptr<const S3Client> client, S3Place place, S3Parts parts)
    : client_(std::move(client)), place_(std::move(place)), parts_(parts) {}

absl::StatusOr<std::unique_ptr<S3WritableFile>> S3WritableFile::Resume(std::shared_ptr<const S3Client> client,
                                                                       S3Place place, std::string_view ticket) {
  std::vector<std::string> words = absl::StrSplit(absl::string_view(ticket.data(), ticket.size()), ' ');
  const bool is_ticket = words.size() >= 2 && words.size() <= kMaxParts + 1 &&
                         std::none_of(words.begin(), words.end(), [](const auto& word) { return word.empty(); });
  if (!is_ticket) {
    return absl::InvalidArgumentError(absl::StrCat(place.ToString(), ": the ticket is no upload with its parts"));
  }
  auto file = std::make_unique<S3WritableFile>(std::move(client), std::move(place), S3Parts::kEqual);
  file->is_saved_ = true;
  file->upload_id_ = std::move(words[0]);
  file->part_etags_.assign(std::make_move_iterator(words.begin() + 1), std::make_move_iterator(words.end()));
  file->sent_bytes_ = file->part_etags_.size() * kSavedPartBytes;
  GPTVQ_RETURN_IF_ERROR(file->CheckParts());
  return file;
}

S3WritableFile::~S3WritableFile() {
  if (!is_saved_) Discard();
}

void S3WritableFile::Discard() {
  if (upload_id_.empty()) return;
  client_
      ->Send({.method = "DELETE",
              .place = place_,
              .query = {{"uploadId", upload_id_}},
              .persistence = S3Persistence::kOnce})
      .status()
      .IgnoreError();
  upload_id_.clear();
}

std::size_t S3WritableFile::NextPartBytes() const {
  return parts_ == S3Parts::kEqual ? kSavedPartBytes : S3PartBytes(part_etags_.size() + 1);
}

absl::Status S3WritableFile::Append(absl::Span<const std::byte> bytes) {
  GPTVQ_RETURN_IF_ERROR(status_);
  while (!bytes.empty()) {
    const std::size_t part_bytes = NextPartBytes();
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
  if (!pending_.empty()) GPTVQ_RETURN_IF_ERROR(Record(SendPart()));
  GPTVQ_RETURN_IF_ERROR(Record(Complete()));
  upload_id_.clear();  // there is nothing left to abort
  return absl::OkStatus();
}

absl::StatusOr<std::string> S3WritableFile::Save() {
  const std::uint64_t size_bytes = sent_bytes_ + pending_.size();
  GPTVQ_CHECK(parts_ == S3Parts::kEqual && size_bytes > 0 && size_bytes % kSavedPartBytes == 0);
  GPTVQ_RETURN_IF_ERROR(status_);
  if (!pending_.empty()) GPTVQ_RETURN_IF_ERROR(Record(SendPart()));
  is_saved_ = true;
  return absl::StrCat(upload_id_, " ", absl::StrJoin(part_etags_, " "));
}

// Whether the server has all parts as they were sent. Errors: NotFound.
absl::Status S3WritableFile::CheckParts() const {
  std::map<std::string, std::string> etags;
  PartPage page;
  for (std::size_t page_count = 0; page_count <= kMaxParts; ++page_count) {
    QueryParameters query = {{"uploadId", upload_id_}};
    if (!page.next_part.empty()) query.emplace_back("part-number-marker", page.next_part);
    GPTVQ_ASSIGN_OR_RETURN(
        const HttpResponse response,
        client_->Send({.method = "GET", .place = place_, .query = query, .expected_root = "ListPartsResult"}));
    GPTVQ_ASSIGN_OR_RETURN(page, ParsePartPage(response.body));
    for (ListedPart& part : page.parts) etags[std::move(part.number)] = std::move(part.etag);
    if (page.next_part.empty()) break;
  }
  for (std::size_t i = 0; i < part_etags_.size(); ++i) {
    const auto found = etags.find(absl::StrCat(i + 1));
    if (found == etags.end() || Bare(found->second) != Bare(part_etags_[i])) {
      return absl::NotFoundError(
          absl::StrCat(place_.ToString(), ": part ", i + 1, " of the upload is not what it was"));
    }
  }
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

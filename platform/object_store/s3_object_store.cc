#include "platform/object_store/s3_object_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/object_store/s3_answers.h"
#include "platform/object_store/s3_writable_file.h"
#include "platform/object_store/windowed_file.h"

namespace gptvq {
namespace {

// Pages of up to 1000 entries; a listing of kMaxListedObjects and as many directories ends before.
constexpr int kMaxPages = 10'000;

class S3File final : public RandomAccessFile {
 public:
  S3File(std::shared_ptr<const S3Client> client, S3Place place, std::string name, S3ObjectHead head)
      : client_(std::move(client)), place_(std::move(place)), name_(std::move(name)), head_(std::move(head)) {}

  std::string_view name() const override { return name_; }
  std::uint64_t size() const override { return head_.size_bytes; }

  absl::Status ReadAt(std::uint64_t offset, absl::Span<std::byte> bytes_out) const override {
    if (offset > size() || bytes_out.size() > size() - offset) {
      return absl::OutOfRangeError(absl::StrCat(name_, ": read of ", bytes_out.size(), " bytes at offset ", offset,
                                                " passes the end at ", size()));
    }
    return client_->ReadRange(place_, head_.etag, offset, bytes_out);
  }

 private:
  const std::shared_ptr<const S3Client> client_;
  const S3Place place_;
  const std::string name_;
  const S3ObjectHead head_;
};

absl::Status TooLongForOneRequest(const S3Place& place) {
  return absl::ResourceExhaustedError(
      absl::StrCat(place.ToString(), ": longer than ", kMaxNewObjectBytes, " bytes, which are put in one request"));
}

absl::Status TooManyPages(const std::string& name) {
  return absl::UnavailableError(absl::StrCat(name, ": the server's listing does not end"));
}

}  // namespace

S3ObjectStore::S3ObjectStore(std::shared_ptr<const S3Client> client, S3Place root, S3ObjectStoreOptions options)
    : client_(std::move(client)),
      root_(std::move(root)),
      prefix_(root_.key.empty() ? "" : absl::StrCat(root_.key, "/")),
      name_(root_.ToString()),
      options_(options) {}

absl::StatusOr<std::unique_ptr<WritableFile>> S3ObjectStore::Create(std::string_view key) {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  return std::make_unique<S3WritableFile>(client_, PlaceOf(key), S3Parts::kGrowing);
}

absl::StatusOr<std::unique_ptr<ResumableFile>> S3ObjectStore::CreateResumable(std::string_view key) {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  return std::make_unique<S3WritableFile>(client_, PlaceOf(key), S3Parts::kEqual);
}

absl::StatusOr<std::unique_ptr<ResumableFile>> S3ObjectStore::Resume(std::string_view key, std::string_view ticket) {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  return S3WritableFile::Resume(client_, PlaceOf(key), ticket);
}

absl::Status S3ObjectStore::PutNew(std::string_view key, absl::Span<const std::byte> bytes) {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  const S3Place place = PlaceOf(key);
  if (bytes.size() > kMaxNewObjectBytes) return TooLongForOneRequest(place);
  absl::Status there = CheckSameObject(*this, key, bytes);
  if (!absl::IsNotFound(there)) return there;
  S3Call call = {.method = "PUT", .place = place, .headers = {{"if-none-match", "*"}}, .body = bytes};
  absl::StatusOr<HttpResponse> response = client_->Send(call);
  if (absl::IsFailedPrecondition(response.status())) {
    // 412 or 409: somebody else was faster, or we were, and the answer was lost.
    absl::Status now_there = CheckSameObject(*this, key, bytes);
    if (!absl::IsNotFound(now_there)) return now_there;
    return absl::UnavailableError(absl::StrCat(response.status().message(), ", but nothing is there"));
  }
  if (absl::IsUnimplemented(response.status())) {
    call.headers.clear();
    response = client_->Send(call);
  }
  return response.status();
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> S3ObjectStore::Open(std::string_view key) const {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  return OpenS3File(client_, PlaceOf(key), std::string(key));
}

absl::StatusOr<ObjectInfo> S3ObjectStore::Stat(std::string_view key) const {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  GPTVQ_ASSIGN_OR_RETURN(const S3ObjectHead head, client_->Head(PlaceOf(key)));
  return ObjectInfo{std::string(key), head.size_bytes};
}

absl::StatusOr<std::vector<ObjectInfo>> S3ObjectStore::List(std::string_view directory, ListScope scope) const {
  if (!directory.empty()) GPTVQ_RETURN_IF_ERROR(CheckObjectKey(directory));
  const std::string prefix = absl::StrCat(prefix_, std::string(directory), directory.empty() ? "" : "/");
  QueryParameters query = {{"list-type", "2"}, {"prefix", prefix}};
  if (scope == ListScope::kDirect) query.emplace_back("delimiter", "/");
  std::vector<ObjectInfo> objects;
  std::string token;
  for (int page_count = 0; page_count < kMaxPages; ++page_count) {
    QueryParameters page_query = query;
    if (!token.empty()) page_query.emplace_back("continuation-token", token);
    GPTVQ_ASSIGN_OR_RETURN(
        const HttpResponse response,
        client_->Send(
            {.method = "GET", .place = {root_.bucket, ""}, .query = page_query, .expected_root = "ListBucketResult"}));
    GPTVQ_ASSIGN_OR_RETURN(const ObjectPage page, ParseObjectPage(response.body));
    for (const ListedObject& listed : page.objects) {
      if (!listed.key.starts_with(prefix)) continue;
      const std::string key = listed.key.substr(prefix_.size());
      if (!IsObjectKey(key)) continue;
      if (objects.size() == kMaxListedObjects) {
        return absl::ResourceExhaustedError(absl::StrCat(name_, ": more than ", kMaxListedObjects, " objects"));
      }
      objects.push_back({key, listed.size_bytes});
    }
    if (page.next_token.empty()) {
      std::sort(objects.begin(), objects.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
      return objects;
    }
    token = page.next_token;
  }
  return TooManyPages(name_);
}

absl::Status S3ObjectStore::Delete(std::string_view key) {
  GPTVQ_RETURN_IF_ERROR(CheckObjectKey(key));
  const absl::Status status = client_->Send({.method = "DELETE", .place = PlaceOf(key)}).status();
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status S3ObjectStore::RemoveAbandonedWrites(ListScope scope) {
  UploadPage page;
  for (int page_count = 0; page_count < kMaxPages; ++page_count) {
    QueryParameters query = {{"uploads", ""}, {"prefix", prefix_}};
    if (!page.next_key.empty()) {
      query.emplace_back("key-marker", page.next_key);
      query.emplace_back("upload-id-marker", page.next_upload_id);
    }
    GPTVQ_ASSIGN_OR_RETURN(const HttpResponse response, client_->Send({.method = "GET",
                                                                       .place = {root_.bucket, ""},
                                                                       .query = query,
                                                                       .expected_root = "ListMultipartUploadsResult"}));
    GPTVQ_ASSIGN_OR_RETURN(page, ParseUploadPage(response.body));
    const std::optional<WallTime> server_time = ParseHttpDate(response.Header("date"));
    if (!server_time) return absl::UnavailableError(absl::StrCat(name_, ": the server's answer has no date"));
    for (const ListedUpload& upload : page.uploads) {
      const bool is_ours = upload.key.starts_with(prefix_);
      const bool is_direct = upload.key.find('/', prefix_.size()) == std::string::npos;
      if (!is_ours || (scope == ListScope::kDirect && !is_direct)) continue;
      const WallTime limit = *server_time - options_.abandoned_after;
      if (upload.begin_time > limit) continue;
      const S3Place place = {root_.bucket, upload.key};
      GPTVQ_ASSIGN_OR_RETURN(const bool is_abandoned, IsAbandoned(place, upload.upload_id, limit));
      if (!is_abandoned) continue;
      absl::Status status =
          client_->Send({.method = "DELETE", .place = place, .query = {{"uploadId", upload.upload_id}}}).status();
      if (!status.ok() && !absl::IsNotFound(status)) return status;
    }
    if (page.next_key.empty()) return absl::OkStatus();
  }
  return TooManyPages(name_);
}

// Whether no part was written after `limit`.
absl::StatusOr<bool> S3ObjectStore::IsAbandoned(const S3Place& place, const std::string& upload_id,
                                                WallTime limit) const {
  PartPage page;
  for (int page_count = 0; page_count < kMaxPages; ++page_count) {
    QueryParameters query = {{"uploadId", upload_id}};
    if (!page.next_part.empty()) query.emplace_back("part-number-marker", page.next_part);
    const absl::StatusOr<HttpResponse> response =
        client_->Send({.method = "GET", .place = place, .query = query, .expected_root = "ListPartsResult"});
    if (absl::IsNotFound(response.status())) return false;  // completed or aborted since it was listed
    GPTVQ_RETURN_IF_ERROR(response.status());
    GPTVQ_ASSIGN_OR_RETURN(page, ParsePartPage(response->body));
    if (page.last_write_time && *page.last_write_time > limit) return false;
    if (page.next_part.empty()) return true;
  }
  return TooManyPages(name_);
}

absl::Status S3ObjectStore::CheckReachable() const {
  return client_
      ->Send({.method = "GET",
              .place = {root_.bucket, ""},
              .query = {{"list-type", "2"}, {"prefix", prefix_}, {"max-keys", "1"}},
              .expected_root = "ListBucketResult"})
      .status();
}

absl::Status S3ObjectStore::CheckNotEmpty() const {
  GPTVQ_ASSIGN_OR_RETURN(const HttpResponse response,
                         client_->Send({.method = "GET",
                                        .place = {root_.bucket, ""},
                                        .query = {{"list-type", "2"}, {"prefix", prefix_}, {"max-keys", "1"}},
                                        .expected_root = "ListBucketResult"}));
  GPTVQ_ASSIGN_OR_RETURN(const ObjectPage page, ParseObjectPage(response.body));
  if (!page.objects.empty()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(name_, ": there is no object below this prefix"));
}

S3Place S3ObjectStore::PlaceOf(std::string_view key) const {
  return {root_.bucket, absl::StrCat(prefix_, std::string(key))};
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenS3File(std::shared_ptr<const S3Client> client, S3Place place,
                                                             std::string name) {
  GPTVQ_ASSIGN_OR_RETURN(S3ObjectHead head, client->Head(place));
  return std::make_unique<WindowedFile>(
      std::make_unique<S3File>(std::move(client), std::move(place), std::move(name), std::move(head)));
}

}  // namespace gptvq

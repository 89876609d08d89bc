#include "platform/object_store/s3_client.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/object_store/s3_answers.h"

namespace gptvq {
namespace {

constexpr char kService[] = "s3";
// An answer that broke off after so many bytes does not count as a failed attempt: reading gets on.
constexpr std::size_t kProgressBytes = 1 << 20;

// A bucket with a dot in its name has no certificate at https://bucket.endpoint.
bool IsInHostName(const S3Profile& profile, const std::string& bucket) {
  return profile.addressing == S3Addressing::kVirtualHost && bucket.find('.') == std::string::npos;
}

S3Failure FailureOf(const HttpResponse& response) {
  S3Failure failure;
  failure.http_status = response.status;
  failure.region = std::string(response.Header("x-amz-bucket-region"));
  failure.server_date = std::string(response.Header("date"));
  if (const std::optional<S3ErrorAnswer> error = ParseS3Error(response.body)) {
    failure.code = error->code;
    failure.message = error->message;
    if (failure.region.empty()) failure.region = error->region;
  }
  return failure;
}

bool IsSuccess(const HttpResponse& response, const std::string& expected_root) {
  if (response.status / 100 != 2) return false;
  return expected_root.empty() || RootElement(response.body) == expected_root;
}

// Whether an answer holds the bytes of [begin, end) of the object whose ETag is `etag`.
absl::Status CheckRange(const HttpResponse& response, const std::string& etag, std::uint64_t begin, std::uint64_t end) {
  if (!etag.empty() && response.Header("etag") != etag) {
    return absl::FailedPreconditionError("the server sent another object than the one that was opened");
  }
  const std::string expected = absl::StrCat("bytes ", begin, "-", end - 1, "/");
  if (response.status == 206 && response.Header("content-range").starts_with(expected)) return absl::OkStatus();
  const bool is_whole =
      response.status == 200 && begin == 0 && response.Header("content-length") == std::to_string(end);
  if (is_whole) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the server sent another range than ", expected));
}

}  // namespace

std::string S3Place::ToString() const {
  return key.empty() ? absl::StrCat("s3://", bucket) : absl::StrCat("s3://", bucket, "/", key);
}

// Whether and when a call is sent again.
class S3Client::Patience {
 public:
  Patience(S3Persistence persistence, S3Retry& retry, Clock& clock)
      : persistence_(persistence), retry_(retry), clock_(clock) {}

  // OK when it is time for another attempt, else why there is none.
  absl::Status After(const Outcome& outcome) {
    if (outcome.reaction == S3Reaction::kRefreshCredentials && !has_refreshed_) {
      has_refreshed_ = true;
      return absl::OkStatus();
    }
    if (outcome.reaction != S3Reaction::kRetryLater || persistence_ == S3Persistence::kOnce) return outcome.status;
    const std::optional<std::chrono::milliseconds> delay = retry_.DelayAfter(++failed_attempts_);
    if (!delay) {
      return absl::Status(outcome.status.code(),
                          absl::StrCat(outcome.status.message(), "; given up after ", failed_attempts_, " attempts"));
    }
    clock_.Sleep(*delay, std::stop_token());
    return absl::OkStatus();
  }

  void OnProgress() { failed_attempts_ = 0; }

 private:
  const S3Persistence persistence_;
  S3Retry& retry_;
  Clock& clock_;
  int failed_attempts_ = 0;
  bool has_refreshed_ = false;
};

S3Client::S3Client(S3Profile profile, std::unique_ptr<S3CredentialSource> credentials, std::shared_ptr<S3Retry> retry,
                   Clock& clock)
    : profile_(std::move(profile)),
      credentials_(std::move(credentials)),
      retry_(std::move(retry)),
      clock_(clock),
      http_({.ca_file = profile_.ca_file}) {}

absl::StatusOr<HttpResponse> S3Client::Send(const S3Call& call) const {
  Patience patience(call.persistence, *retry_, clock_);
  while (true) {
    HttpResponse response;
    const Outcome outcome = SendOnce(call, {}, response);
    if (outcome.status.ok()) return response;
    GPTVQ_RETURN_IF_ERROR(patience.After(outcome));
  }
}

absl::StatusOr<S3ObjectHead> S3Client::Head(const S3Place& place) const {
  const S3Call call = {.method = "HEAD", .place = place};
  absl::StatusOr<HttpResponse> response = Send(call);
  if (!response.ok() && !absl::IsNotFound(response.status()) && !absl::IsUnavailable(response.status())) {
    // An answer to HEAD has no body, and so no reason; that to GET has one. It also renews credentials.
    std::array<std::byte, 1> first;
    GPTVQ_RETURN_IF_ERROR(ReadRange(place, "", 0, absl::MakeSpan(first)));
    response = Send(call);
  }
  GPTVQ_RETURN_IF_ERROR(response.status());
  S3ObjectHead head;
  head.etag = std::string(response->Header("etag"));
  const std::string_view size = response->Header("content-length");
  if (head.etag.empty() || !absl::SimpleAtoi(absl::string_view(size.data(), size.size()), &head.size_bytes)) {
    return absl::UnavailableError(absl::StrCat(place.ToString(), ": the server did not tell size and ETag"));
  }
  return head;
}

absl::Status S3Client::ReadRange(const S3Place& place, const std::string& etag, std::uint64_t offset,
                                 absl::Span<std::byte> bytes_out) const {
  const std::uint64_t end = offset + bytes_out.size();
  Patience patience(S3Persistence::kRetry, *retry_, clock_);
  while (!bytes_out.empty()) {
    S3Call call = {.method = "GET", .place = place};
    call.headers.push_back({"range", absl::StrCat("bytes=", offset, "-", end - 1)});
    if (!etag.empty()) call.headers.push_back({"if-match", etag});
    HttpResponse response;
    Outcome outcome = SendOnce(call, bytes_out, response);
    if (response.status == 404 || response.status == 412) {
      if (etag.empty()) return outcome.status;
      return absl::FailedPreconditionError(
          absl::StrCat(place.ToString(), ": was replaced or deleted after it had been opened"));
    }
    if (response.body_out_bytes > 0 && !absl::IsDataLoss(outcome.status)) {
      const absl::Status checked = WithContext(CheckRange(response, etag, offset, end), place.ToString());
      if (!checked.ok()) {
        outcome = {checked, absl::IsUnavailable(checked) ? S3Reaction::kRetryLater : S3Reaction::kGiveUp};
      } else {
        offset += response.body_out_bytes;
        bytes_out.remove_prefix(response.body_out_bytes);
        if (bytes_out.empty()) return absl::OkStatus();
        if (response.body_out_bytes >= kProgressBytes) patience.OnProgress();
      }
    }
    if (outcome.status.ok()) {
      outcome = {absl::UnavailableError(absl::StrCat(place.ToString(), ": the server sent fewer bytes than it should")),
                 S3Reaction::kRetryLater};
    }
    GPTVQ_RETURN_IF_ERROR(patience.After(outcome));
  }
  return absl::OkStatus();
}

S3Client::Outcome S3Client::SendOnce(const S3Call& call, absl::Span<std::byte> body_out,
                                     HttpResponse& response_out) const {
  const absl::StatusOr<S3Credentials> credentials = credentials_->Get();
  if (!credentials.ok()) {
    return {WithContext(credentials.status(), absl::StrCat("credentials of storage profile '", profile_.name, "'")),
            absl::IsUnavailable(credentials.status()) ? S3Reaction::kRetryLater : S3Reaction::kGiveUp};
  }
  const std::string amz_date = AmzDate(clock_.WallNow());
  HttpRequest request = Signed(call, *credentials, amz_date);
  request.body_out = body_out;
  const absl::Status sent = http_.Send(request, response_out);
  if (!sent.ok()) {
    const std::string context = absl::StrCat(call.place.ToString(), " at ", profile_.endpoint.authority());
    return {WithContext(sent, context),
            absl::IsFailedPrecondition(sent) ? S3Reaction::kGiveUp : S3Reaction::kRetryLater};
  }
  if (IsSuccess(response_out, call.expected_root)) {
    retry_->OnSuccess();
    return {};
  }
  const S3Failure failure = FailureOf(response_out);
  if (response_out.status / 100 == 2 && failure.code.empty()) {
    return {absl::UnavailableError(
                absl::StrCat(call.place.ToString(), ": the server's answer is not a whole <", call.expected_root, ">")),
            S3Reaction::kRetryLater};
  }
  const S3Reaction reaction = ReactionTo(failure);
  if (reaction == S3Reaction::kRefreshCredentials) credentials_->Refused(*credentials);
  return {ToStatus(failure, {call.place.ToString(), profile_.name, profile_.region, amz_date}), reaction};
}

HttpRequest S3Client::Signed(const S3Call& call, const S3Credentials& credentials, const std::string& amz_date) const {
  const bool is_in_host_name = IsInHostName(profile_, call.place.bucket);
  const std::string authority =
      absl::StrCat(is_in_host_name ? absl::StrCat(call.place.bucket, ".") : "", profile_.endpoint.authority());
  const std::string bucket_path = is_in_host_name ? "" : absl::StrCat("/", call.place.bucket);
  SignableRequest signable;
  signable.method = call.method;
  signable.encoded_path = PercentEncode(absl::StrCat(bucket_path, "/", call.place.key), EncodedPart::kPath);
  signable.canonical_query = CanonicalQuery(call.query);
  signable.payload_sha256 = Sha256Hex(call.body);
  signable.headers = {{"host", authority}, {"x-amz-content-sha256", signable.payload_sha256}, {"x-amz-date", amz_date}};
  if (!credentials.session_token.empty()) {
    signable.headers.emplace_back("x-amz-security-token", credentials.session_token.Reveal());
  }
  if (call.method == "PUT" || call.method == "POST") {
    signable.headers.emplace_back("content-type", "application/octet-stream");
  }
  for (const HttpHeader& header : call.headers) signable.headers.emplace_back(header.name, header.value);

  HttpRequest request;
  request.method = call.method;
  request.url = absl::StrCat(profile_.endpoint.scheme, "://", authority, signable.encoded_path,
                             signable.canonical_query.empty() ? "" : "?", signable.canonical_query);
  for (const auto& [name, value] : signable.headers) request.headers.push_back({name, value});
  const SigningIdentity identity = {credentials.access_key_id, credentials.secret_access_key, profile_.region,
                                    kService};
  request.headers.push_back({"authorization", Authorization(signable, identity, amz_date)});
  request.body = call.body;
  request.silence = call.silence;
  return request;
}

}  // namespace gptvq

#include "platform/object_store/s3_credentials.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "platform/object_store/s3_answers.h"
#include "platform/object_store/s3_error.h"
#include "platform/object_store/s3_signature.h"
#include "platform/operator_file.h"

namespace gptvq {
namespace {

using Fetched = S3CredentialSource::Fetched;

constexpr std::size_t kMaxFileBytes = 1 << 20;
// How soon a file that was replaced is noticed.
constexpr std::chrono::seconds kFileLifetime(60);
// Temporary credentials are renewed so long before they expire, as AWS's own clients do, so that none expires on the way.
constexpr std::chrono::seconds kRenewalMargin(300);

std::string ValueOr(const Environment& environment, const std::string& variable, std::string otherwise) {
  return environment(variable).value_or(std::move(otherwise));
}

absl::StatusOr<Fetched> FromEnvironment(const S3Credentials& credentials) {
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    return absl::FailedPreconditionError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set");
  }
  return Fetched{credentials, std::nullopt};
}

// Section `name` of a file of the form
//   [name]
//   aws_access_key_id = AKIA...
absl::StatusOr<Fetched> FromFile(const std::string& path, const std::string& name) {
  GPTVQ_ASSIGN_OR_RETURN(const std::string contents, ReadOperatorFile(path, kMaxFileBytes));
  const Secret text(contents);
  S3Credentials credentials;
  bool is_in_section = false;
  for (absl::string_view line : absl::StrSplit(text.Reveal(), '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      is_in_section = line == absl::StrCat("[", name, "]");
      continue;
    }
    const std::pair<absl::string_view, absl::string_view> setting = absl::StrSplit(line, absl::MaxSplits('=', 1));
    if (!is_in_section) continue;
    const absl::string_view key = absl::StripAsciiWhitespace(setting.first);
    std::string value(absl::StripAsciiWhitespace(setting.second));
    if (key == "aws_access_key_id") credentials.access_key_id = std::move(value);
    if (key == "aws_secret_access_key") credentials.secret_access_key = Secret(std::move(value));
    if (key == "aws_session_token") credentials.session_token = Secret(std::move(value));
  }
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": section [", name, "] has no aws_access_key_id and aws_secret_access_key"));
  }
  return Fetched{std::move(credentials), kFileLifetime};
}

struct WebIdentity {
  std::string token_file;
  std::string role_arn;
  std::string session_name;
  std::string sts_endpoint;
  std::string region;
  std::string profile;
};

absl::StatusOr<Fetched> FromWebIdentity(const WebIdentity& identity, const HttpClient& http) {
  if (identity.token_file.empty() || identity.role_arn.empty()) {
    return absl::FailedPreconditionError("AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not set");
  }
  GPTVQ_ASSIGN_OR_RETURN(const std::string token, ReadOperatorFile(identity.token_file, kMaxFileBytes));
  const Secret form(CanonicalQuery({{"Action", "AssumeRoleWithWebIdentity"},
                                    {"RoleArn", identity.role_arn},
                                    {"RoleSessionName", identity.session_name},
                                    {"Version", "2011-06-15"},
                                    {"WebIdentityToken", std::string(absl::StripAsciiWhitespace(token))}}));
  HttpRequest request;
  request.method = "POST";
  request.url = absl::StrCat(identity.sts_endpoint, "/");
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
  request.body = AsBytes(form.Reveal());
  HttpResponse response;
  GPTVQ_RETURN_IF_ERROR(WithContext(http.Send(request, response), identity.sts_endpoint));
  if (response.status != 200) {
    const S3ErrorAnswer error = ParseS3Error(response.body).value_or(S3ErrorAnswer());
    return ToStatus({response.status, error.code, error.message, "", std::string(response.Header("date"))},
                    {identity.sts_endpoint, identity.profile, identity.region, ""});
  }
  GPTVQ_ASSIGN_OR_RETURN(const TemporaryCredentials assumed, ParseAssumedRole(response.body));
  // By the server's clock alone, so that ours may be wrong.
  const std::optional<WallTime> server_time = ParseHttpDate(response.Header("date"));
  if (!server_time) return absl::UnavailableError(absl::StrCat(identity.sts_endpoint, ": its answer has no date"));
  const auto lifetime = std::chrono::duration_cast<std::chrono::seconds>(assumed.expiry_time - *server_time);
  return Fetched{{assumed.access_key_id, assumed.secret_access_key, assumed.session_token},
                 std::max(lifetime / 2, lifetime - kRenewalMargin)};
}

S3CredentialSource::Fetch FileFetch(const S3Profile& profile, const Environment& environment) {
  const CredentialOptions& options = profile.credentials;
  std::string path = options.file;
  if (path.empty()) {
    path = ValueOr(environment, "AWS_SHARED_CREDENTIALS_FILE",
                   absl::StrCat(ValueOr(environment, "HOME", ""), "/.aws/credentials"));
  }
  std::string section = options.file_profile;
  if (section.empty()) section = ValueOr(environment, "AWS_PROFILE", "default");
  return [path, section] { return FromFile(path, section); };
}

S3CredentialSource::Fetch WebIdentityFetch(const S3Profile& profile, const Environment& environment) {
  const CredentialOptions& options = profile.credentials;
  WebIdentity identity;
  identity.token_file =
      options.token_file.empty() ? ValueOr(environment, "AWS_WEB_IDENTITY_TOKEN_FILE", "") : options.token_file;
  identity.role_arn = options.role_arn.empty() ? ValueOr(environment, "AWS_ROLE_ARN", "") : options.role_arn;
  identity.session_name = ValueOr(environment, "AWS_ROLE_SESSION_NAME", "gptvq");
  identity.sts_endpoint = options.sts_endpoint.empty() ? absl::StrCat("https://sts.", profile.region, ".amazonaws.com")
                                                       : options.sts_endpoint;
  while (identity.sts_endpoint.ends_with('/')) identity.sts_endpoint.pop_back();
  identity.region = profile.region;
  identity.profile = profile.name;
  // std::function wants to copy what it holds.
  const auto http = std::make_shared<HttpClient>(HttpClientOptions{.ca_file = profile.ca_file});
  return [identity, http] { return FromWebIdentity(identity, *http); };
}

S3CredentialSource::Fetch EnvironmentFetch(const Environment& environment) {
  const S3Credentials credentials = {ValueOr(environment, "AWS_ACCESS_KEY_ID", ""),
                                     Secret(ValueOr(environment, "AWS_SECRET_ACCESS_KEY", "")),
                                     Secret(ValueOr(environment, "AWS_SESSION_TOKEN", ""))};
  return [credentials] { return FromEnvironment(credentials); };
}

CredentialKind FirstThatIsSetUp(const Environment& environment) {
  if (environment("AWS_ACCESS_KEY_ID")) return CredentialKind::kEnvironment;
  if (environment("AWS_WEB_IDENTITY_TOKEN_FILE")) return CredentialKind::kWebIdentity;
  return CredentialKind::kFile;
}

}  // namespace

absl::StatusOr<S3Credentials> S3CredentialSource::Get() {
  const std::lock_guard lock(mutex_);
  if (current_ && (!deadline_ || clock_.MonotonicNow() < *deadline_)) return *current_;
  GPTVQ_ASSIGN_OR_RETURN(const Fetched fetched, fetch_());
  current_ = fetched.credentials;
  deadline_ = std::nullopt;
  if (fetched.lifetime) deadline_ = clock_.MonotonicNow() + *fetched.lifetime;
  return *current_;
}

void S3CredentialSource::Refused(const S3Credentials& credentials) {
  const std::lock_guard lock(mutex_);
  const bool is_current = current_ && current_->access_key_id == credentials.access_key_id &&
                          current_->session_token.Reveal() == credentials.session_token.Reveal();
  if (is_current) current_ = std::nullopt;
}

std::unique_ptr<S3CredentialSource> MakeCredentialSource(const S3Profile& profile, const Environment& environment,
                                                         const Clock& clock) {
  CredentialKind kind = profile.credentials.kind;
  if (kind == CredentialKind::kAutomatic) kind = FirstThatIsSetUp(environment);
  S3CredentialSource::Fetch fetch;
  switch (kind) {
    case CredentialKind::kAutomatic:
    case CredentialKind::kEnvironment: fetch = EnvironmentFetch(environment); break;
    case CredentialKind::kWebIdentity: fetch = WebIdentityFetch(profile, environment); break;
    case CredentialKind::kFile: fetch = FileFetch(profile, environment); break;
  }
  return std::make_unique<S3CredentialSource>(std::move(fetch), clock);
}

}  // namespace gptvq

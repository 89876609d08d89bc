#include "platform/object_store/s3_profile.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/json/strict_json.h"
#include "platform/object_store/object_uri.h"

namespace gptvq {
namespace {

using Json = nlohmann::json;

// A JSON object whose keys are taken one by one; what is left over at the end is a mistake.
class Fields {
 public:
  static absl::StatusOr<Fields> Of(const Json& json, std::string where) {
    if (!json.is_object()) return absl::InvalidArgumentError(absl::StrCat(where, " must be an object"));
    return Fields(json, std::move(where));
  }

  // The text of a key; empty if it is absent.
  absl::StatusOr<std::string> Text(const std::string& key) {
    const Json* value = Take(key);
    if (value == nullptr) return std::string();
    if (!value->is_string() || value->get_ref<const std::string&>().empty()) return Refuse(key, "must be text");
    return value->get<std::string>();
  }

  absl::StatusOr<bool> Boolean(const std::string& key) {
    const Json* value = Take(key);
    if (value == nullptr) return false;
    if (!value->is_boolean()) return Refuse(key, "must be true or false");
    return value->get<bool>();
  }

  absl::StatusOr<std::string> AbsolutePath(const std::string& key) {
    absl::StatusOr<std::string> path = Text(key);
    if (path.ok() && !path->empty() && path->front() != '/') return Refuse(key, "must be an absolute path");
    return path;
  }

  // The value of one of `choices`; `absent` if there is no such key.
  template <typename T, std::size_t N>
  absl::StatusOr<T> Choice(const std::string& key, T absent,
                           const std::array<std::pair<std::string_view, T>, N>& choices) {
    GPTVQ_ASSIGN_OR_RETURN(const std::string text, Text(key));
    if (text.empty()) return absent;
    std::string names;
    for (const auto& [name, value] : choices) {
      if (name == text) return value;
      absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(name));
    }
    return Refuse(key, absl::StrCat("must be one of ", names));
  }

  const Json* Take(const std::string& key) {
    const auto it = left_.find(key);
    if (it == left_.end()) return nullptr;
    const Json* value = it->second;
    left_.erase(it);
    return value;
  }

  absl::Status Refuse(const std::string& key, const std::string& why) const {
    return absl::InvalidArgumentError(absl::StrCat(where_, ".", key, " ", why));
  }

  absl::Status CheckNothingLeft() const {
    if (left_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(where_, " has an unknown key '", left_.begin()->first, "'"));
  }

 private:
  Fields(const Json& json, std::string where) : where_(std::move(where)) {
    for (const auto& [key, value] : json.items()) left_.emplace(key, &value);
  }

  std::string where_;
  std::map<std::string, const Json*> left_;
};

absl::StatusOr<HttpOrigin> ParseEndpoint(Fields& fields, const std::string& key, const std::string& text,
                                         bool allow_plain_http) {
  const absl::StatusOr<HttpOrigin> origin = ParseHttpOrigin(text);
  if (!origin.ok()) return fields.Refuse(key, std::string(origin.status().message()));
  if (origin->scheme == "http" && !origin->is_loopback() && !allow_plain_http) {
    return fields.Refuse(
        key, "is http://, which anybody on the way can read; use https://, or add \"allow_plain_http\": true");
  }
  return origin;
}

absl::StatusOr<CredentialOptions> ParseCredentials(const Json* json, const std::string& where, bool allow_plain_http) {
  CredentialOptions options;
  if (json == nullptr) return options;
  GPTVQ_ASSIGN_OR_RETURN(Fields fields, Fields::Of(*json, where));
  static constexpr std::array<std::pair<std::string_view, CredentialKind>, 4> kKinds = {
      {{"automatic", CredentialKind::kAutomatic},
       {"environment", CredentialKind::kEnvironment},
       {"web-identity", CredentialKind::kWebIdentity},
       {"file", CredentialKind::kFile}}};
  GPTVQ_ASSIGN_OR_RETURN(options.kind, fields.Choice("source", CredentialKind::kAutomatic, kKinds));
  if (options.kind == CredentialKind::kFile) {
    GPTVQ_ASSIGN_OR_RETURN(options.file, fields.AbsolutePath("path"));
    GPTVQ_ASSIGN_OR_RETURN(options.file_profile, fields.Text("profile"));
  }
  if (options.kind == CredentialKind::kWebIdentity) {
    GPTVQ_ASSIGN_OR_RETURN(options.token_file, fields.AbsolutePath("token_file"));
    GPTVQ_ASSIGN_OR_RETURN(options.role_arn, fields.Text("role_arn"));
    GPTVQ_ASSIGN_OR_RETURN(options.sts_endpoint, fields.Text("sts_endpoint"));
    if (!options.sts_endpoint.empty()) {
      GPTVQ_RETURN_IF_ERROR(ParseEndpoint(fields, "sts_endpoint", options.sts_endpoint, allow_plain_http).status());
    }
  }
  GPTVQ_RETURN_IF_ERROR(fields.CheckNothingLeft());
  return options;
}

bool IsRegion(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  });
}

absl::StatusOr<S3Profile> ParseProfile(const std::string& name, const Json& json) {
  const std::string where = absl::StrCat("profiles.", name);
  GPTVQ_ASSIGN_OR_RETURN(Fields fields, Fields::Of(json, where));
  GPTVQ_ASSIGN_OR_RETURN(std::string region, fields.Text("region"));
  if (region.empty())
    return fields.Refuse("region", "is missing; \"us-east-1\" is what most servers other than AWS expect");
  if (!IsRegion(region)) return fields.Refuse("region", "must be lower-case letters, digits and '-'");
  S3Profile profile = S3Profile::Aws(std::move(region));
  profile.name = name;
  GPTVQ_ASSIGN_OR_RETURN(const bool allow_plain_http, fields.Boolean("allow_plain_http"));
  GPTVQ_ASSIGN_OR_RETURN(const std::string endpoint, fields.Text("endpoint"));
  if (!endpoint.empty()) {
    GPTVQ_ASSIGN_OR_RETURN(profile.endpoint, ParseEndpoint(fields, "endpoint", endpoint, allow_plain_http));
    profile.addressing = S3Addressing::kPath;
  }
  static constexpr std::array<std::pair<std::string_view, S3Addressing>, 2> kAddressings = {
      {{"path", S3Addressing::kPath}, {"virtual-host", S3Addressing::kVirtualHost}}};
  GPTVQ_ASSIGN_OR_RETURN(profile.addressing, fields.Choice("addressing", profile.addressing, kAddressings));
  if (profile.addressing == S3Addressing::kVirtualHost && profile.endpoint.is_address()) {
    return fields.Refuse("addressing", "can not be virtual-host, since the endpoint is a number and not a name");
  }
  GPTVQ_ASSIGN_OR_RETURN(profile.ca_file, fields.AbsolutePath("ca_file"));
  GPTVQ_ASSIGN_OR_RETURN(profile.credentials, ParseCredentials(fields.Take("credentials"),
                                                               absl::StrCat(where, ".credentials"), allow_plain_http));
  GPTVQ_RETURN_IF_ERROR(fields.CheckNothingLeft());
  return profile;
}

}  // namespace

S3Profile S3Profile::Aws(std::string region) {
  S3Profile profile;
  profile.name = "aws";
  profile.endpoint = {
      "https", absl::StrCat("s3.", region, region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com"), 0};
  profile.region = std::move(region);
  profile.addressing = S3Addressing::kVirtualHost;
  return profile;
}

absl::StatusOr<S3Profiles> S3Profiles::Parse(std::string_view json) {
  GPTVQ_ASSIGN_OR_RETURN(const Json document, ParseStrictJson(json));
  GPTVQ_ASSIGN_OR_RETURN(Fields fields, Fields::Of(document, "the file"));
  const Json* profiles = fields.Take("profiles");
  const Json* places = fields.Take("places");
  GPTVQ_RETURN_IF_ERROR(fields.CheckNothingLeft());
  if (profiles == nullptr || !profiles->is_object() || places == nullptr || !places->is_object()) {
    return absl::InvalidArgumentError("the file must have the objects \"profiles\" and \"places\"");
  }
  S3Profiles parsed;
  for (const auto& [name, value] : profiles->items()) {
    GPTVQ_ASSIGN_OR_RETURN(S3Profile profile, ParseProfile(name, value));
    parsed.profiles_.push_back(std::move(profile));
  }
  for (const auto& entry : places->items()) {
    const std::string& place = entry.key();
    const auto profile = std::find_if(parsed.profiles_.begin(), parsed.profiles_.end(),
                                      [&entry](const S3Profile& p) { return entry.value() == p.name; });
    if (profile == parsed.profiles_.end()) {
      return absl::InvalidArgumentError(absl::StrCat("places.", place, " must be the name of a profile"));
    }
    const std::size_t index = static_cast<std::size_t>(profile - parsed.profiles_.begin());
    if (place == "*") {
      parsed.places_.push_back({"", index});
      continue;
    }
    const absl::StatusOr<ObjectUri> uri = ObjectUri::Parse(absl::StrCat("s3://", place));
    if (!uri.ok()) {
      return WithContext(uri.status(), absl::StrCat("places.", place, " must be BUCKET, BUCKET/PREFIX or *"));
    }
    parsed.places_.push_back({absl::StrCat(uri->bucket(), "/", uri->path(), uri->path().empty() ? "" : "/"), index});
  }
  return parsed;
}

absl::StatusOr<S3Profiles> S3Profiles::AwsOnly(std::string region) {
  if (!IsRegion(region)) return absl::InvalidArgumentError("a region is lower-case letters, digits and '-'");
  S3Profiles profiles;
  profiles.profiles_ = {S3Profile::Aws(std::move(region))};
  profiles.places_ = {{"", 0}};
  return profiles;
}

absl::StatusOr<std::size_t> S3Profiles::IndexFor(std::string_view bucket, std::string_view prefix) const {
  const std::string place = absl::StrCat(std::string(bucket), "/", std::string(prefix), prefix.empty() ? "" : "/");
  const Place* best = nullptr;
  for (const Place& candidate : places_) {
    if (!place.starts_with(candidate.prefix)) continue;
    if (best == nullptr || candidate.prefix.size() > best->prefix.size()) best = &candidate;
  }
  if (best != nullptr) return best->profile_index;
  return absl::PermissionDeniedError(absl::StrCat("s3://", place.substr(0, place.size() - 1),
                                                  ": no storage profile of this process serves this place"));
}

}  // namespace gptvq

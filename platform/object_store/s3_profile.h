#ifndef GPTVQ_PLATFORM_OBJECT_STORE_S3_PROFILE_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_S3_PROFILE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/http_client.h"

namespace gptvq {

enum class S3Addressing {
  kPath,         // https://endpoint/bucket/key
  kVirtualHost,  // https://bucket.endpoint/key
};

enum class CredentialKind {
  kAutomatic,    // the first of the following that is set up
  kEnvironment,  // AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
  kWebIdentity,  // AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ROLE_ARN: exchanged at STS
  kFile,         // an AWS shared credentials file
};

// Where credentials come from. Names places; holds no credential.
struct CredentialOptions {
  CredentialKind kind = CredentialKind::kAutomatic;
  std::string file = "";          // kFile; empty: AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials
  std::string file_profile = "";  // kFile; empty: AWS_PROFILE, else "default"
  std::string token_file = "";    // kWebIdentity; empty: AWS_WEB_IDENTITY_TOKEN_FILE
  std::string role_arn = "";      // kWebIdentity; empty: AWS_ROLE_ARN
  std::string sts_endpoint = "";  // kWebIdentity; empty: https://sts.<region>.amazonaws.com
};

// How one object storage is reached: what its operator decides, and no URI.
struct S3Profile {
  std::string name;
  HttpOrigin endpoint;
  std::string region;
  S3Addressing addressing = S3Addressing::kPath;
  std::string ca_file;  // empty: the system's
  CredentialOptions credentials;

  // AWS itself in `region`.
  static S3Profile Aws(std::string region);
};

// The operator's file: profiles, and which of them serves which bucket. Immutable value.
// docs/storage.md describes the JSON.
class S3Profiles {
 public:
  // Errors: InvalidArgument naming what is wrong: an unknown key, an endpoint that is no https:// origin (http:// is for
  // loopback, or for who writes "allow_plain_http": true), a place whose profile is missing.
  static absl::StatusOr<S3Profiles> Parse(std::string_view json);

  // Every bucket at AWS in `region`. Errors: InvalidArgument for what is no name of a region.
  static absl::StatusOr<S3Profiles> AwsOnly(std::string region);

  const std::vector<S3Profile>& profiles() const { return profiles_; }

  // The index of the profile that serves s3://bucket/prefix: that of the longest place that holds it.
  // Errors: PermissionDenied when no place holds it.
  absl::StatusOr<std::size_t> IndexFor(std::string_view bucket, std::string_view prefix) const;

 private:
  struct Place {
    std::string prefix;  // "bucket/" or "bucket/a/b/"; "" holds everything
    std::size_t profile_index = 0;
  };

  std::vector<S3Profile> profiles_;
  std::vector<Place> places_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_S3_PROFILE_H_

#include "platform/object_store/s3_connector.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/object_store/s3_credentials.h"
#include "platform/operator_file.h"

namespace gptvq {
namespace {

constexpr std::size_t kMaxProfilesBytes = 1 << 20;

absl::StatusOr<std::optional<S3Profiles>> LoadProfiles(const std::string& file, const Environment& environment) {
  if (!file.empty()) {
    GPTVQ_ASSIGN_OR_RETURN(const std::string text, ReadOperatorFile(file, kMaxProfilesBytes));
    absl::StatusOr<S3Profiles> profiles = S3Profiles::Parse(text);
    if (!profiles.ok()) return WithContext(profiles.status(), file);
    return *std::move(profiles);
  }
  for (const char* variable : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    const std::optional<std::string> region = environment(variable);
    if (!region) continue;
    absl::StatusOr<S3Profiles> profiles = S3Profiles::AwsOnly(*region);
    if (!profiles.ok()) return WithContext(profiles.status(), variable);
    return *std::move(profiles);
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<S3Connector> S3Connector::Create(const std::string& profiles_file, const Environment& environment,
                                                Clock& clock) {
  GPTVQ_ASSIGN_OR_RETURN(std::optional<S3Profiles> profiles, LoadProfiles(profiles_file, environment));
  std::vector<std::shared_ptr<const S3Client>> clients;
  if (profiles) {
    const auto retry = std::make_shared<S3Retry>(S3RetryOptions{.seed = std::random_device()()});
    for (const S3Profile& profile : profiles->profiles()) {
      clients.push_back(
          std::make_shared<S3Client>(profile, MakeCredentialSource(profile, environment, clock), retry, clock));
    }
  }
  return S3Connector(std::move(profiles), std::move(clients));
}

absl::StatusOr<std::unique_ptr<S3ObjectStore>> S3Connector::Open(const ObjectUri& uri) const {
  GPTVQ_ASSIGN_OR_RETURN(std::shared_ptr<const S3Client> client, ClientFor(uri));
  return std::make_unique<S3ObjectStore>(std::move(client), S3Place{uri.bucket(), uri.path()});
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> S3Connector::OpenFile(const ObjectUri& uri) const {
  if (uri.path().empty()) {
    return absl::FailedPreconditionError(absl::StrCat(uri.ToString(), ": is a bucket, not an object"));
  }
  GPTVQ_ASSIGN_OR_RETURN(std::shared_ptr<const S3Client> client, ClientFor(uri));
  return OpenS3File(std::move(client), {uri.bucket(), uri.path()}, uri.ToString());
}

absl::StatusOr<std::shared_ptr<const S3Client>> S3Connector::ClientFor(const ObjectUri& uri) const {
  if (!profiles_) {
    return absl::FailedPreconditionError(
        absl::StrCat(uri.ToString(), ": set AWS_REGION, or name the storage in a file given by --storage-profiles"));
  }
  GPTVQ_ASSIGN_OR_RETURN(const std::size_t index, profiles_->IndexFor(uri.bucket(), uri.path()));
  return clients_[index];
}

}  // namespace gptvq

#ifndef GPTVQ_PLATFORM_OBJECT_STORE_S3_CREDENTIALS_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_S3_CREDENTIALS_H_

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "platform/object_store/s3_profile.h"
#include "platform/options.h"
#include "platform/secret.h"

namespace gptvq {

struct S3Credentials {
  std::string access_key_id;
  Secret secret_access_key;
  Secret session_token;  // empty for credentials that last
};

// Credentials that may change while the program runs. They are fetched when they are first needed, when their time is up, and
// when a server said that they have expired. Borrows the clock. Thread-safe: one thread fetches, the others wait for it.
class S3CredentialSource {
 public:
  struct Fetched {
    S3Credentials credentials;
    std::optional<std::chrono::seconds> lifetime;  // until they should be fetched again; nullopt: for ever
  };
  using Fetch = std::function<absl::StatusOr<Fetched>()>;

  S3CredentialSource(Fetch fetch, const Clock& clock) : fetch_(std::move(fetch)), clock_(clock) {}

  // Errors: those of fetching.
  absl::StatusOr<S3Credentials> Get();

  // A server refused these credentials as expired: the next Get fetches, unless another thread already has.
  void Refused(const S3Credentials& credentials);

 private:
  const Fetch fetch_;
  const Clock& clock_;
  std::mutex mutex_;
  std::optional<S3Credentials> current_;
  std::optional<MonotonicTime> deadline_;
};

// The source that `profile` describes. `environment` is only read here, files each time they are needed.
// Errors of its Get: FailedPrecondition naming the variable, file or section that is missing; those of the STS.
std::unique_ptr<S3CredentialSource> MakeCredentialSource(const S3Profile& profile, const Environment& environment,
                                                         const Clock& clock);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_S3_CREDENTIALS_H_

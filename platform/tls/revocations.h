#ifndef GPTVQ_PLATFORM_TLS_REVOCATIONS_H_
#define GPTVQ_PLATFORM_TLS_REVOCATIONS_H_

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/tls/certificate.h"

namespace gptvq {

// The certificates that an authority took back before their end: a file of revocation lists, PEM, every one signed by a
// certificate of the authority's file. The file is read again when it has changed; one that can not be used is told to the log and
// changes nothing, and so is a list whose next update is overdue, which still counts. Borrows clock and log. Thread-safe.
class Revocations {
 public:
  // Errors: NotFound, PermissionDenied, InvalidArgument (no revocation list, or one of another authority), naming the file.
  static absl::StatusOr<std::unique_ptr<Revocations>> Load(const std::string& lists_file,
                                                           const std::string& authority_file, Clock& clock,
                                                           Logger& log);

  bool IsRevoked(const Certificate& certificate);

 private:
  Revocations(std::string lists_file, std::string authority_file, Clock& clock, Logger& log)
      : lists_file_(std::move(lists_file)), authority_file_(std::move(authority_file)), clock_(clock), log_(log) {}

  absl::Status Reload();
  void ReloadIfChanged();

  const std::string lists_file_;
  const std::string authority_file_;
  Clock& clock_;
  Logger& log_;
  std::mutex mutex_;
  std::string version_;            // guarded by mutex_
  std::set<std::string> revoked_;  // by issuer and serial number; guarded by mutex_
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_TLS_REVOCATIONS_H_

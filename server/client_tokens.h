#ifndef GPTVQ_SERVER_CLIENT_TOKENS_H_
#define GPTVQ_SERVER_CLIENT_TOKENS_H_

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "platform/log.h"

namespace gptvq {

// The bearer tokens that clients must show besides their certificates. A text file, one token a line, `#` begins a comment:
//   client/alice 2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90 2026-12-31T00:00:00Z
// identity, SHA-256 of the token, and, if it ends, when. The file is read again when it has changed; one that can not be used
// is told to the log and changes nothing. Borrows clock and log. Thread-safe.
class ClientTokens {
 public:
  // Errors: those of ReadSecretFile; InvalidArgument naming the line.
  static absl::StatusOr<std::unique_ptr<ClientTokens>> Load(const std::string& path, Clock& clock, Logger& log);

  // Whether `token` is one of `identity` ("client/alice") and has not ended. Takes the same time for every wrong token.
  bool IsValid(std::string_view identity, std::string_view token);

 private:
  struct Entry {
    std::string identity;
    std::string sha256_hex;
    WallTime end;
  };

  ClientTokens(std::string path, Clock& clock, Logger& log) : path_(std::move(path)), clock_(clock), log_(log) {}

  static absl::StatusOr<std::vector<Entry>> Parse(std::string_view text);
  absl::Status Reload();
  void ReloadIfChanged();

  const std::string path_;
  Clock& clock_;
  Logger& log_;
  std::mutex mutex_;
  std::string version_;         // guarded by mutex_
  std::vector<Entry> entries_;  // guarded by mutex_
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_CLIENT_TOKENS_H_

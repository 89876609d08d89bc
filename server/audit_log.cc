#include "server/audit_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace gptvq {

std::string ToJsonLine(const AuditEntry& entry) {
  nlohmann::ordered_json line;
  line["time"] = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromChrono(entry.time), absl::UTCTimeZone());
  line["identity"] = entry.identity;
  line["peer"] = entry.peer;
  line["method"] = entry.method;
  line["job"] = entry.job_id;
  line["decision"] = entry.decision == AccessDecision::kAllowed ? "allowed" : "denied";
  line["code"] = entry.code;
  line["reason"] = entry.reason;
  // Text from outside may be any bytes.
  return line.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

absl::StatusOr<std::unique_ptr<AuditLog>> AuditLog::Open(const std::string& path) {
  const int file = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return absl::PermissionDeniedError(absl::StrCat("audit log ", path, ": ", std::strerror(errno)));
  return std::unique_ptr<AuditLog>(new AuditLog(path, file));
}

AuditLog::~AuditLog() { close(file_); }

absl::Status AuditLog::Append(const AuditEntry& entry) {
  const std::string text = ToJsonLine(entry) + "\n";
  const std::lock_guard lock(mutex_);
  const std::string whole = is_torn_ ? "\n" + text : text;
  ssize_t written = 0;
  do {
    written = write(file_, whole.data(), whole.size());
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(whole.size())) {
    is_torn_ = false;
    return absl::OkStatus();
  }
  is_torn_ = is_torn_ || written > 0;
  return absl::UnavailableError(
      absl::StrCat("audit log ", path_, ": ", written < 0 ? std::strerror(errno) : "written in part"));
}

}  // namespace gptvq

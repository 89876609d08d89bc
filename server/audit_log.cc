#include "server/audit_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

// The bytes of a file; nothing for a pipe or a terminal, which has no lines to go on from.
std::optional<off_t> SizeOf(int file) {
  struct stat info = {};
  if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return info.st_size;
}

}  // namespace

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
  std::unique_ptr<AuditLog> log(new AuditLog(path, file));
  if (flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return absl::FailedPreconditionError(absl::StrCat("audit log ", path, ": another coordinator writes it"));
  }
  if (SizeOf(file)) GPTVQ_RETURN_IF_ERROR(WithContext(log->ReadChain(), "audit log " + path));
  return log;
}

AuditLog::~AuditLog() { close(file_); }

absl::Status AuditLog::ReadChain() {
  std::ifstream file(path_, std::ios::binary);
  if (!file) return absl::PermissionDeniedError(std::strerror(errno));
  std::vector<char> block(kMaxAuditLineBytes);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())), file.gcount() > 0) {
    GPTVQ_RETURN_IF_ERROR(chain_.TakeIn({block.data(), static_cast<std::size_t>(file.gcount())}));
  }
  was_torn_ = chain_.torn_lines() > 0 || chain_.is_line_open();
  return absl::OkStatus();
}

absl::Status AuditLog::Append(const AuditEntry& entry) {
  const std::string content = ToJsonLine(entry);
  const std::lock_guard lock(mutex_);
  if (SizeOf(file_) == 0) chain_.BeginFile();
  const std::string text = chain_.NextLine(content);
  ssize_t written = 0;
  do {
    written = write(file_, text.data(), text.size());
  } while (written < 0 && errno == EINTR);
  if (written < 0) return absl::UnavailableError(absl::StrCat("audit log ", path_, ": ", std::strerror(errno)));
  GPTVQ_RETURN_IF_ERROR(chain_.TakeIn(text.substr(0, static_cast<std::size_t>(written))));
  if (written == static_cast<ssize_t>(text.size())) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("audit log ", path_, ": written in part"));
}

}  // namespace gptvq

#ifndef GPTVQ_SERVER_AUDIT_LOG_H_
#define GPTVQ_SERVER_AUDIT_LOG_H_

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "server/audit_chain.h"

namespace gptvq {

enum class AccessDecision { kAllowed, kDenied };

// One call in the audit log. Holds no argument of the call but the job, so that no secret can get there.
struct AuditEntry {
  WallTime time;
  std::string identity;  // "client/alice"; empty without TLS
  std::string peer;      // "ipv4:10.0.0.7:41234"; empty for calls that were denied before they reached a service
  std::string method;
  std::string job_id;  // empty: none, or not known yet
  AccessDecision decision = AccessDecision::kAllowed;
  std::string code;    // how the call ended: "OK", "NOT_FOUND"
  std::string reason;  // of a refusal, or an incident (docs/protocol.md); empty without
};

// The entry as one line of JSON without the line break, keys in the order of the struct.
std::string ToJsonLine(const AuditEntry& entry);

// A file that only grows, one line a call, each written at once by a single write() and tied to the one before
// (server/audit_chain.h). It may be truncated by whoever rotates it if it is copied first. Owns the file, which no other
// coordinator may write meanwhile. Thread-safe.
class AuditLog {
 public:
  // Makes the file, readable by its owner alone, if it is missing; reads all of it if not, and goes on from its last line.
  // Errors: PermissionDenied naming the path; FailedPrecondition when another AuditLog has it, or it is something else.
  static absl::StatusOr<std::unique_ptr<AuditLog>> Open(const std::string& path);
  ~AuditLog();

  // Errors: Unavailable; the line may then be there in part, which the next one does not join and tells of.
  absl::Status Append(const AuditEntry& entry);

  // Whether the last line was not written whole when the file was opened, as when the power failed.
  bool was_torn() const { return was_torn_; }

 private:
  AuditLog(std::string path, int file) : path_(std::move(path)), file_(file) {}
  absl::Status ReadChain();

  const std::string path_;
  const int file_;
  bool was_torn_ = false;  // const after Open
  std::mutex mutex_;
  AuditChain chain_;  // of what is in the file; guarded by mutex_
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_AUDIT_LOG_H_

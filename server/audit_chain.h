#ifndef GPTVQ_SERVER_AUDIT_CHAIN_H_
#define GPTVQ_SERVER_AUDIT_CHAIN_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace gptvq {

// What ties the lines of an audit log together, so that one which was changed, removed or put in is noticed; the rules for
// other programs are in docs/security.md. A line is one JSON object whose last key is "chain": the SHA-256, in
// lower-case hex, over the 64 digits of the line before and the line without that key, byte for byte. Before the first line of
// a log stand 64 zeros. Two keys say where it is otherwise:
//   "previous"    in the first whole line of a file that goes on from another one (rotation): the value before this line;
//   "torn_lines"  how many lines right before this one were not written whole. The value of such a line is the SHA-256 over
//                 the value before and its bytes.
// The chain has no key: who may rewrite the whole file can make another chain.

inline constexpr std::string_view kAuditChainStart = "0000000000000000000000000000000000000000000000000000000000000000";
inline constexpr std::size_t kMaxAuditLineBytes = 1 << 16;  // ours have less than 4 KiB

// Where the chain stands after the bytes of a log: a pure function of them. Thread-compatible; a value.
class AuditChain {
 public:
  // Takes the next bytes of the log in, whole lines or not; believes the values that lines name.
  // Errors: FailedPrecondition for a line longer than kMaxAuditLineBytes, which no audit log has.
  absl::Status TakeIn(std::string_view bytes);
  // The bytes so far were moved away; what comes next is the begin of a file.
  void BeginFile();

  // What has to be written so that `json_object`, one line, is the next of the log.
  std::string NextLine(std::string_view json_object) const;

  const std::string& value() const { return value_; }
  std::uint64_t torn_lines() const { return torn_lines_; }  // at the end
  // Whether the last line has no line break yet.
  bool is_line_open() const { return !open_line_.empty(); }

 private:
  void TakeInLine(std::string_view line);

  std::string value_{kAuditChainStart};
  std::uint64_t torn_lines_ = 0;
  std::string open_line_;
  bool begins_file_ = false;  // and no whole line came since
};

struct AuditLogCheck {
  std::uint64_t lines = 0;
  std::uint64_t torn_lines = 0;            // of them; each told by the line after it
  std::string previous{kAuditChainStart};  // the chain value that the file goes on from
  std::string last{kAuditChainStart};      // that of the last line; without lines, `previous`
};

// Checks every line of a file. `known_value`, if not empty, is a chain value that was kept elsewhere, and must be in the file.
// Errors: DataLoss naming the first line that does not fit, or the known value that is gone; NotFound, PermissionDenied;
// InvalidArgument for a known value that is none; FailedPrecondition as above.
absl::StatusOr<AuditLogCheck> CheckAuditLog(const std::string& path, std::string_view known_value);

}  // namespace gptvq

#endif  // GPTVQ_SERVER_AUDIT_CHAIN_H_

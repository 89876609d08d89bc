#ifndef GPTVQ_PLATFORM_JOB_STORE_HIGH_WATER_MARK_H_
#define GPTVQ_PLATFORM_JOB_STORE_HIGH_WATER_MARK_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace gptvq {

// How much a journal has acknowledged, noted outside of it: the file `coordinator.mark` beside a SQLite journal. SQLite takes a
// damaged frame of its log for the end of the log, and an older file looks like any other; a mark that is above what the
// journal holds shows both (docs/adr/0011-high-water-mark.md).
//
// The mark is raised after the commit is durable, without fsync: after a kill or a loss of power it may be behind, which says
// nothing, but never ahead. For the same reason one that is missing or can not be read says nothing. Owns the file.
// Thread-compatible. File: one line of 64 bytes, `gptvq-mark 1`, generation and count in 19 digits each, CRC-32C of all before it.
class HighWaterMark {
 public:
  struct Value {
    std::int64_t generation = 0;
    std::int64_t change_count = 0;

    friend bool operator==(const Value&, const Value&) = default;
  };

  // Makes the file if it is not there. Errors: PermissionDenied, ResourceExhausted, Unavailable, naming the path.
  static absl::StatusOr<std::unique_ptr<HighWaterMark>> Open(const std::string& path);
  // What the file says, without making it. Nothing: it is not there, or does not say anything.
  static std::optional<Value> Read(const std::string& path);
  ~HighWaterMark();

  // What the file said when it was opened.
  const std::optional<Value>& found() const { return found_; }

  // To be called when `value` is durable in the journal. A failure is no matter: a mark that is behind says nothing.
  void Raise(const Value& value);

 private:
  HighWaterMark(int file, std::optional<Value> found) : file_(file), found_(found) {}

  const int file_;
  const std::optional<Value> found_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_HIGH_WATER_MARK_H_

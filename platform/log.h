#ifndef GPTVQ_PLATFORM_LOG_H_
#define GPTVQ_PLATFORM_LOG_H_

#include <concepts>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace spdlog {
class logger;
}

namespace gptvq {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// From "debug", "info", "warning" or "error". Errors: InvalidArgument, listing the four.
absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text);

// One key=value of a log line. The value is turned into text here; keys are snake_case literals.
class LogField {
 public:
  LogField(std::string_view key, std::string_view value) : key_(key), value_(value) {}
  LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, const std::string& value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, bool value) : LogField(key, value ? "true" : "false") {}
  LogField(std::string_view key, std::integral auto value) : key_(key), value_(std::to_string(value)) {}
  LogField(std::string_view key, double value);

  std::string_view key() const { return key_; }
  const std::string& value() const { return value_; }

 private:
  std::string_view key_;
  std::string value_;
};

// The log of a daemon: one line per event in logfmt,
//   time=2026-05-04T10:00:00.123Z level=info msg="lease granted" task=3f2a epoch=7
// Values that hold spaces, quotes or control characters are quoted and escaped, so text from outside can neither
// start a new line nor colour a terminal. Owns its sink; passed by reference to whoever logs; there is no global log.
// Thread-safe.
//
//   log.Info("lease granted", {{"task", task_id}, {"epoch", epoch}});
class Logger {
 public:
  using Fields = std::initializer_list<LogField>;

  // Writes to standard error.
  explicit Logger(LogLevel minimum);
  // Writes to `out`, which is borrowed.
  Logger(LogLevel minimum, std::ostream& out);
  ~Logger();

  void Debug(std::string_view message, Fields fields = {}) { Write(LogLevel::kDebug, message, fields); }
  void Info(std::string_view message, Fields fields = {}) { Write(LogLevel::kInfo, message, fields); }
  void Warning(std::string_view message, Fields fields = {}) { Write(LogLevel::kWarning, message, fields); }
  void Error(std::string_view message, Fields fields = {}) { Write(LogLevel::kError, message, fields); }

 private:
  void Write(LogLevel level, std::string_view message, Fields fields);

  const LogLevel minimum_;
  const std::unique_ptr<spdlog::logger> logger_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_LOG_H_

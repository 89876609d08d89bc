#include "server/audit_chain.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr std::string_view kBeforeValue = ",\"chain\":\"";
constexpr std::string_view kAfterValue = "\"}";
constexpr std::size_t kValueBytes = kAuditChainStart.size();

std::string ValueAfter(std::string_view previous, std::string_view content) {
  Sha256 hash;
  hash.Update(AsBytes(previous));
  hash.Update(AsBytes(content));
  return hash.Finish().hex();
}

bool IsValue(std::string_view text) {
  return text.size() == kValueBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

struct ChainedLine {
  std::string content;
  std::string value;
};

// Nothing for a line that was not written whole.
std::optional<ChainedLine> SplitLine(std::string_view line) {
  const std::size_t tail_bytes = kBeforeValue.size() + kValueBytes + kAfterValue.size();
  if (line.size() < tail_bytes || !line.starts_with('{') || !line.ends_with(kAfterValue)) return std::nullopt;
  const std::string_view tail = line.substr(line.size() - tail_bytes);
  const std::string_view value = tail.substr(kBeforeValue.size(), kValueBytes);
  if (!tail.starts_with(kBeforeValue) || !IsValue(value)) return std::nullopt;
  return ChainedLine{std::string(line.substr(0, line.size() - tail_bytes)) + "}", std::string(value)};
}

absl::Status TooLong() {
  return absl::FailedPreconditionError(
      absl::StrCat("is no audit log: it has a line of more than ", kMaxAuditLineBytes, " bytes; name another file"));
}

// The lines of a log one after the other, with what was found out.
class Checker {
 public:
  explicit Checker(std::string_view known_value) : known_value_(known_value), is_known_seen_(known_value.empty()) {}

  absl::Status Check(std::string_view line) {
    ++done_.lines;
    const std::optional<ChainedLine> chained = SplitLine(line);
    if (!chained) {
      if (torn_lines_++ == 0) first_torn_ = done_.lines;
      ++done_.torn_lines;
      Accept(ValueAfter(done_.last, line));
      return absl::OkStatus();
    }
    const nlohmann::json json = nlohmann::json::parse(chained->content, nullptr, /*allow_exceptions=*/false);
    if (Number(json, "torn_lines") != torn_lines_) return Torn();
    if (done_.lines == torn_lines_ + 1) TakePrevious(json);
    if (ValueAfter(done_.last, chained->content) != chained->value) {
      return Damaged(done_.lines,
                     "does not follow from the one before: it was changed or put in, or lines before it are gone");
    }
    torn_lines_ = 0;
    Accept(chained->value);
    return absl::OkStatus();
  }

  absl::StatusOr<AuditLogCheck> Finish() const {
    if (torn_lines_ > 0) return Torn();
    if (is_known_seen_) return done_;
    return absl::DataLossError(absl::StrCat("no line has the chain value ", known_value_, ": lines after line ",
                                            done_.lines, " were cut off, or it is that of another file"));
  }

 private:
  static std::uint64_t Number(const nlohmann::json& json, const char* key) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_number_unsigned()) return 0;
    return json[key].get<std::uint64_t>();
  }

  void TakePrevious(const nlohmann::json& json) {
    if (!json.is_object() || !json.contains("previous") || !json["previous"].is_string()) return;
    const std::string previous = json["previous"];
    if (!IsValue(previous)) return;
    done_.previous = previous;
    Accept(previous);
  }

  void Accept(std::string value) {
    done_.last = std::move(value);
    if (done_.last == known_value_) is_known_seen_ = true;
  }

  static absl::Status Damaged(std::uint64_t line, const char* how) {
    return absl::DataLossError(absl::StrCat("line ", line, " ", how));
  }

  // Lines without a chain value that nothing accounts for, or fewer than are accounted for.
  absl::Status Torn() const {
    if (torn_lines_ == 0) return Damaged(done_.lines, "tells of torn lines before it, which are gone");
    return Damaged(first_torn_, "has no chain value, and no line after it says that it was not written whole");
  }

  const std::string known_value_;
  bool is_known_seen_;
  AuditLogCheck done_;
  std::uint64_t torn_lines_ = 0;  // right before this line
  std::uint64_t first_torn_ = 0;
};

}  // namespace

absl::Status AuditChain::TakeIn(std::string_view bytes) {
  for (std::size_t end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
    open_line_.append(bytes.substr(0, end));
    TakeInLine(open_line_);
    open_line_.clear();
    bytes.remove_prefix(end + 1);
  }
  open_line_.append(bytes);
  if (open_line_.size() <= kMaxAuditLineBytes) return absl::OkStatus();
  return TooLong();
}

void AuditChain::TakeInLine(std::string_view line) {
  if (std::optional<ChainedLine> chained = SplitLine(line)) {
    value_ = std::move(chained->value);
    torn_lines_ = 0;
    begins_file_ = false;
    return;
  }
  value_ = ValueAfter(value_, line);
  ++torn_lines_;
}

void AuditChain::BeginFile() {
  open_line_.clear();
  torn_lines_ = 0;
  begins_file_ = true;
}

std::string AuditChain::NextLine(std::string_view json_object) const {
  AuditChain before = *this;
  std::string text;
  if (is_line_open()) {
    text = "\n";
    before.TakeInLine(open_line_);
  }
  std::string content(json_object.substr(0, json_object.size() - 1));
  if (begins_file_ && before.value_ != kAuditChainStart) {
    absl::StrAppend(&content, ",\"previous\":\"", before.value_, "\"");
  }
  if (before.torn_lines_ > 0) absl::StrAppend(&content, ",\"torn_lines\":", before.torn_lines_);
  const std::string value = ValueAfter(before.value_, content + "}");
  return text + content + std::string(kBeforeValue) + value + std::string(kAfterValue) + "\n";
}

absl::StatusOr<AuditLogCheck> CheckAuditLog(const std::string& path, std::string_view known_value) {
  if (!known_value.empty() && !IsValue(known_value)) {
    return absl::InvalidArgumentError("--contains: not 64 lower-case hexadecimal digits");
  }
  const std::string context = "audit log " + path;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const std::string text = absl::StrCat(context, ": ", std::strerror(errno));
    return errno == ENOENT ? absl::NotFoundError(text) : absl::PermissionDeniedError(text);
  }
  Checker checker(known_value);
  std::vector<char> buffer(kMaxAuditLineBytes + 1);  // and a final zero
  while (file.getline(buffer.data(), static_cast<std::streamsize>(buffer.size())), file.gcount() > 0) {
    if (file.fail()) return WithContext(TooLong(), context);
    const std::size_t bytes = static_cast<std::size_t>(file.gcount()) - (file.eof() ? 0 : 1);
    GPTVQ_RETURN_IF_ERROR(WithContext(checker.Check({buffer.data(), bytes}), context));
  }
  if (file.bad()) return absl::UnavailableError(context + ": can not be read");
  absl::StatusOr<AuditLogCheck> done = checker.Finish();
  GPTVQ_RETURN_IF_ERROR(WithContext(done.status(), context));
  return done;
}

}  // namespace gptvq

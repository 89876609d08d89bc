#include "core/format/config_text.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/json/strict_json.h"

namespace gptvq {
namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n";
constexpr std::size_t kMaxTextBytes = 64 << 20;

// Places in the text of one member of the top-level object.
struct Member {
  std::string key;
  std::size_t begin = 0;  // the key's opening quote
  std::size_t value_begin = 0;
  std::size_t end = 0;  // behind the value
};

struct Scan {
  std::vector<Member> members;
  std::size_t open = 0;   // the opening brace
  std::size_t close = 0;  // the closing brace
};

// Behind the string that begins at `quote`.
std::size_t SkipString(std::string_view text, std::size_t quote) {
  std::size_t at = quote + 1;
  while (text[at] != '"') at += text[at] == '\\' ? 2 : 1;
  return at + 1;
}

// Behind the value that begins at `begin`.
std::size_t SkipValue(std::string_view text, std::size_t begin) {
  int depth = 0;
  std::size_t at = begin;
  do {
    const char c = text[at];
    if (c == '"') {
      at = SkipString(text, at);
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    ++at;
    // A number or a word at the top ends where a separator stands; a container ends with its bracket.
    if (depth == 0 && c != '}' && c != ']') at = std::min(text.find_first_of(",}] \t\r\n", at), text.size());
  } while (depth > 0);
  return at;
}

// Finds the members. `text` is known to be valid JSON, so the scan needs to know strings and brackets only.
absl::StatusOr<Scan> ScanObject(std::string_view text) {
  const auto root = ParseStrictJson(text, {.max_bytes = kMaxTextBytes});
  GPTVQ_RETURN_IF_ERROR(root.status());
  if (!root->is_object()) return absl::InvalidArgumentError("not a JSON object");
  Scan scan;
  scan.open = text.find('{');
  scan.close = text.rfind('}');
  std::size_t at = text.find_first_not_of(kWhiteSpace, scan.open + 1);
  while (at != scan.close) {
    Member member;
    member.begin = at;
    const std::size_t key_end = SkipString(text, at);
    member.key = nlohmann::json::parse(text.substr(at, key_end - at)).get<std::string>();  // it may hold escapes
    member.value_begin = text.find_first_not_of(kWhiteSpace, text.find(':', key_end) + 1);
    member.end = SkipValue(text, member.value_begin);
    scan.members.push_back(std::move(member));
    at = text.find_first_not_of(kWhiteSpace, scan.members.back().end);
    if (text[at] == ',') at = text.find_first_not_of(kWhiteSpace, at + 1);
  }
  return scan;
}

std::string Spelled(std::string_view text) { return nlohmann::json(std::string(text)).dump(); }

// `value` with `indent` in front of every line but the first.
std::string Indented(std::string_view value, std::string_view indent) {
  std::string result;
  for (char c : value) {
    result.push_back(c);
    if (c == '\n') result.append(indent);
  }
  return result;
}

std::vector<Member>::const_iterator FindMember(const Scan& scan, std::string_view key) {
  return std::find_if(scan.members.begin(), scan.members.end(),
                      [key](const Member& member) { return member.key == key; });
}

absl::Status NoSuchKey(std::string_view key) {
  return absl::NotFoundError(absl::StrCat("no top-level key ", Spelled(key)));
}

// What stands between a line's start and `at`, if it is white space only; otherwise nothing.
std::string_view IndentOf(std::string_view text, std::size_t at) {
  const std::size_t line = text.substr(0, at).rfind('\n');
  if (line == std::string_view::npos) return "";
  const std::string_view indent = text.substr(line + 1, at - line - 1);
  return indent.find_first_not_of(kWhiteSpace) == std::string_view::npos ? indent : "";
}

}  // namespace

absl::StatusOr<std::string> AddTopLevelKey(std::string_view text, std::string_view key, std::string_view value) {
  GPTVQ_ASSIGN_OR_RETURN(const Scan scan, ScanObject(text));
  if (FindMember(scan, key) != scan.members.end()) {
    return absl::AlreadyExistsError(absl::StrCat("there is a top-level key ", Spelled(key)));
  }
  // Behind the last member, as it is spaced from the text before it; in an empty object right behind the brace.
  const bool is_empty = scan.members.empty();
  const std::size_t place = is_empty ? scan.open + 1 : scan.members.back().end;
  const std::string_view indent = is_empty ? "" : IndentOf(text, scan.members.back().begin);
  const std::string separator = is_empty ? "" : indent.empty() ? ", " : absl::StrCat(",\n", std::string(indent));
  return absl::StrCat(std::string(text.substr(0, place)), separator, Spelled(key), ": ", Indented(value, indent),
                      std::string(text.substr(place)));
}

absl::StatusOr<std::string> RemoveTopLevelKey(std::string_view text, std::string_view key) {
  GPTVQ_ASSIGN_OR_RETURN(const Scan scan, ScanObject(text));
  const auto member = FindMember(scan, key);
  if (member == scan.members.end()) return NoSuchKey(key);
  // The comma before it goes too; the first member takes the comma behind it and the space up to its successor.
  std::size_t begin = member->begin;
  std::size_t end = member->end;
  if (member != scan.members.begin()) {
    begin = std::prev(member)->end;
  } else if (scan.members.size() > 1) {
    end = std::next(member)->begin;
  }
  return absl::StrCat(std::string(text.substr(0, begin)), std::string(text.substr(end)));
}

absl::StatusOr<std::string> ReplaceTopLevelValue(std::string_view text, std::string_view key, std::string_view value) {
  GPTVQ_ASSIGN_OR_RETURN(const Scan scan, ScanObject(text));
  const auto member = FindMember(scan, key);
  if (member == scan.members.end()) return NoSuchKey(key);
  return absl::StrCat(std::string(text.substr(0, member->value_begin)), Indented(value, IndentOf(text, member->begin)),
                      std::string(text.substr(member->end)));
}

}  // namespace gptvq

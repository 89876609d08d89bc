#include "platform/object_store/object_uri.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace gptvq {
namespace {

constexpr std::size_t kMaxPathBytes = 4096;
constexpr std::size_t kMaxEchoedBytes = 120;
constexpr std::string_view kFilePrefix = "file://";

absl::Status Refusal(std::string_view text, std::string_view reason) {
  const std::string_view shown = text.substr(0, kMaxEchoedBytes);
  return absl::InvalidArgumentError(absl::StrCat(
      "URI '", absl::Utf8SafeCHexEscape(absl::string_view(shown.data(), shown.size())),
      shown.size() < text.size() ? "..." : "", "': ", std::string(reason), " (accepted: file:///absolute/path)"));
}

bool IsPathCharacter(char c) { return c >= ' ' && c <= '~' && c != '%' && c != '?' && c != '#' && c != '\\'; }

// What is wrong with the absolute path of a URI; empty if nothing is.
std::string_view PathDefect(std::string_view path) {
  if (!std::all_of(path.begin(), path.end(), IsPathCharacter)) {
    return "only printable ASCII without %, ?, # and backslash is allowed";
  }
  for (std::size_t begin = 1; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view segment = path.substr(begin, end - begin);
    if (segment.empty()) return "it has an empty segment";
    if (segment.ends_with('.')) return "a segment is, or ends in, a dot";
    begin = end + 1;
  }
  return "";
}

}  // namespace

absl::StatusOr<ObjectUri> ObjectUri::Parse(std::string_view text) {
  if (text.size() > kMaxObjectUriBytes)
    return Refusal(text, absl::StrCat("it is longer than ", kMaxObjectUriBytes, " bytes"));
  const std::size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) return Refusal(text, "it has no scheme");
  if (!text.starts_with(kFilePrefix)) return Refusal(text, "its scheme is not supported");
  std::string_view path = text.substr(kFilePrefix.size());
  if (!path.starts_with('/')) return Refusal(text, "the path must be absolute and have no host before it");
  if (path.ends_with('/')) path.remove_suffix(1);
  if (path.empty()) return Refusal(text, "the root of the file system holds no objects");
  const std::string_view defect = PathDefect(path);
  if (!defect.empty()) return Refusal(text, defect);
  return ObjectUri(UriScheme::kFile, std::string(path));
}

absl::StatusOr<ObjectUri> ObjectUri::ParseArgument(std::string_view text) {
  if (text.find("://") != std::string_view::npos) return Parse(text);
  if (text.empty()) return Refusal(text, "it is empty");
  if (text.size() > kMaxPathBytes) return Refusal(text, absl::StrCat("it is longer than ", kMaxPathBytes, " bytes"));
  if (text.find('\0') != std::string_view::npos) return Refusal(text, "it holds a NUL");
  std::error_code error;
  std::string path = std::filesystem::weakly_canonical(std::filesystem::absolute(text, error), error).native();
  if (error) return Refusal(text, error.message());
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return ObjectUri(UriScheme::kFile, std::move(path));
}

std::string ObjectUri::ToString() const { return absl::StrCat(std::string(kFilePrefix), path_); }

}  // namespace gptvq

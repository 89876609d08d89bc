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
constexpr std::string_view kS3Prefix = "s3://";
constexpr std::size_t kMinBucketBytes = 3;
constexpr std::size_t kMaxBucketBytes = 63;

absl::Status Refusal(std::string_view text, std::string_view reason) {
  const std::string_view shown = text.substr(0, kMaxEchoedBytes);
  return absl::InvalidArgumentError(
      absl::StrCat("URI '", absl::Utf8SafeCHexEscape(absl::string_view(shown.data(), shown.size())),
                   shown.size() < text.size() ? "..." : "", "': ", std::string(reason),
                   " (accepted: file:///absolute/path, s3://bucket/prefix)"));
}

bool IsPathCharacter(char c) { return c >= ' ' && c <= '~' && c != '%' && c != '?' && c != '#' && c != '\\'; }

// "Bucket naming rules" of the Amazon S3 User Guide: also what is safe in a host name.
bool IsBucket(std::string_view text) {
  const auto is_alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (text.size() < kMinBucketBytes || text.size() > kMaxBucketBytes) return false;
  if (!is_alphanumeric(text.front()) || !is_alphanumeric(text.back())) return false;
  if (text.find("..") != std::string_view::npos) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) { return is_alphanumeric(c) || c == '-' || c == '.'; });
}

// What is wrong with a path that begins with '/'; empty if nothing is.
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
  if (text.starts_with(kS3Prefix)) return ParseS3(text);
  if (!text.starts_with(kFilePrefix)) return Refusal(text, "its scheme is not supported");
  std::string_view path = text.substr(kFilePrefix.size());
  if (!path.starts_with('/')) return Refusal(text, "the path must be absolute and have no host before it");
  if (path.ends_with('/')) path.remove_suffix(1);
  if (path.empty()) return Refusal(text, "the root of the file system holds no objects");
  const std::string_view defect = PathDefect(path);
  if (!defect.empty()) return Refusal(text, defect);
  return ObjectUri(UriScheme::kFile, "", std::string(path));
}

absl::StatusOr<ObjectUri> ObjectUri::ParseS3(std::string_view text) {
  std::string_view rest = text.substr(kS3Prefix.size());
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view bucket = rest.substr(0, slash);
  if (!IsBucket(bucket)) {
    return Refusal(text, "a bucket is 3 to 63 lower-case letters, digits, '.' and '-', and has no host before it");
  }
  const std::string_view path = rest.substr(slash);
  if (path.empty()) return ObjectUri(UriScheme::kS3, std::string(bucket), "");
  const std::string_view defect = PathDefect(path);
  if (!defect.empty()) return Refusal(text, defect);
  return ObjectUri(UriScheme::kS3, std::string(bucket), std::string(path.substr(1)));
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
  return ObjectUri(UriScheme::kFile, "", std::move(path));
}

absl::StatusOr<ObjectUri> ObjectUri::Parent() const {
  const std::size_t slash = path_.rfind('/');
  if (path_.empty() || path_ == "/") return Refusal(ToString(), "it names no file");
  if (scheme_ == UriScheme::kFile) return ObjectUri(scheme_, "", slash == 0 ? "/" : path_.substr(0, slash));
  return ObjectUri(scheme_, bucket_, slash == std::string::npos ? "" : path_.substr(0, slash));
}

std::string ObjectUri::FileName() const { return path_.substr(path_.rfind('/') + 1); }

std::string ObjectUri::ToString() const {
  if (scheme_ == UriScheme::kFile) return absl::StrCat(std::string(kFilePrefix), path_);
  return absl::StrCat(std::string(kS3Prefix), bucket_, path_.empty() ? "" : "/", path_);
}

}  // namespace gptvq

#include "core/format/format_version.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace gptvq {
namespace {

bool IsNumber(std::string_view text) {
  const bool has_leading_zero = text.size() > 1 && text[0] == '0';
  return !text.empty() && text.size() <= 9 && !has_leading_zero &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string_view Major(std::string_view version) { return version.substr(0, version.find('.')); }

}  // namespace

absl::Status CheckFormatVersion(std::string_view version) {
  const std::size_t dot = version.find('.');
  if (dot == std::string_view::npos || !IsNumber(Major(version)) || !IsNumber(version.substr(dot + 1))) {
    return absl::InvalidArgumentError(
        absl::StrCat("format_version '", std::string(version.substr(0, 40)), "' is not \"major.minor\""));
  }
  if (Major(version) == Major(kFormatVersion)) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("format_version ", std::string(version),
                                               " is not known; this program reads ", std::string(Major(kFormatVersion)),
                                               ".x: use a newer one"));
}

}  // namespace gptvq

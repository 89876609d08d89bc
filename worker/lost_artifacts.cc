#include "worker/lost_artifacts.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace gptvq {
namespace {

constexpr char kLostArtifactsPayload[] = "gptvq/lost-artifacts";  // lines of digest and size

}  // namespace

absl::Status NameLostArtifacts(absl::Status status, const std::vector<Digest>& artifacts) {
  std::string text(status.GetPayload(kLostArtifactsPayload).value_or(absl::Cord()));
  for (const Digest& artifact : artifacts) absl::StrAppend(&text, artifact.hex(), " ", artifact.size_bytes(), "\n");
  status.SetPayload(kLostArtifactsPayload, absl::Cord(text));
  return status;
}

std::vector<Digest> LostArtifactsOf(const absl::Status& status) {
  std::vector<Digest> artifacts;
  const std::string text(status.GetPayload(kLostArtifactsPayload).value_or(absl::Cord()));
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(line, ' ');
    std::uint64_t size_bytes = 0;
    if (!absl::SimpleAtoi(parts.second, &size_bytes)) continue;
    if (const auto digest = Digest::FromHex(parts.first, size_bytes); digest.ok()) artifacts.push_back(*digest);
  }
  return artifacts;
}

}  // namespace gptvq

#include "server/client_tokens.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "platform/file_version.h"
#include "platform/secret_file.h"

namespace gptvq {
namespace {

bool IsSha256Hex(std::string_view text) { return Digest::FromHex(text, 0).ok(); }

}  // namespace

absl::StatusOr<std::unique_ptr<ClientTokens>> ClientTokens::Load(const std::string& path, Clock& clock, Logger& log) {
  std::unique_ptr<ClientTokens> tokens(new ClientTokens(path, clock, log));
  const std::lock_guard lock(tokens->mutex_);
  tokens->version_ = FileVersion(path);
  GPTVQ_RETURN_IF_ERROR(tokens->Reload());
  return tokens;
}

bool ClientTokens::IsValid(std::string_view identity, std::string_view token) {
  const std::string hash = Digest::Of(AsBytes(token)).hex();
  const std::lock_guard lock(mutex_);
  ReloadIfChanged();
  const WallTime now = clock_.WallNow();
  bool found = false;
  for (const Entry& entry : entries_) {
    const bool fits = EqualInConstantTime(entry.sha256_hex, hash);
    found |= fits && entry.identity == identity && now < entry.end;
  }
  return found;
}

absl::StatusOr<std::vector<ClientTokens::Entry>> ClientTokens::Parse(std::string_view text) {
  std::vector<Entry> entries;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    ++number;
    const absl::string_view content = *absl::StrSplit(line, '#').begin();
    const std::vector<std::string> words = absl::StrSplit(content, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.empty()) continue;
    absl::Time end = absl::InfiniteFuture();
    std::string error;
    const bool is_time = words.size() < 3 || absl::ParseTime(absl::RFC3339_full, words[2], &end, &error);
    if (words.size() < 2 || words.size() > 3 || !IsSha256Hex(words[1]) || !is_time) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number,
                       ": must be ROLE/NAME, the SHA-256 of the token in lower-case hexadecimal digits, "
                       "and, if the token ends, when, such as 2026-12-31T00:00:00Z"));
    }
    entries.push_back({words[0], words[1], end == absl::InfiniteFuture() ? WallTime::max() : absl::ToChronoTime(end)});
  }
  return entries;
}

absl::Status ClientTokens::Reload() {
  const absl::StatusOr<Secret> text = ReadSecretFile(path_);
  GPTVQ_RETURN_IF_ERROR(text.status());
  absl::StatusOr<std::vector<Entry>> entries = Parse(text->Reveal());
  GPTVQ_RETURN_IF_ERROR(WithContext(entries.status(), path_));
  entries_ = *std::move(entries);
  return absl::OkStatus();
}

void ClientTokens::ReloadIfChanged() {
  std::string version = FileVersion(path_);
  if (version == version_) return;
  version_ = std::move(version);
  const absl::Status status = Reload();
  if (status.ok()) {
    log_.Info("client tokens read anew", {{"file", path_}, {"tokens", entries_.size()}});
  } else {
    log_.Error("client tokens not read anew; the ones before still hold", {{"error", status.ToString()}});
  }
}

}  // namespace gptvq

#include "server/seal.h"

#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "platform/secret_file.h"

namespace gptvq {
namespace {

constexpr std::size_t kBlockBytes = 64;  // of SHA-256

std::string RawSha256(std::string_view head, std::string_view text) {
  Sha256 hash;
  hash.Update(AsBytes(head));
  hash.Update(AsBytes(text));
  return absl::HexStringToBytes(hash.Finish().hex());
}

}  // namespace

std::string HmacSha256Hex(std::string_view key, std::string_view text) {
  std::string block = key.size() > kBlockBytes ? RawSha256("", key) : std::string(key);
  block.resize(kBlockBytes, '\0');
  std::string inner = block;
  std::string outer = block;
  for (std::size_t i = 0; i < kBlockBytes; ++i) {
    inner[i] = static_cast<char>(inner[i] ^ 0x36);
    outer[i] = static_cast<char>(outer[i] ^ 0x5c);
  }
  return absl::BytesToHexString(RawSha256(outer, RawSha256(inner, text)));
}

std::string Seal::LeaseToken(const Lease& lease) const {
  // Line breaks separate the parts: none of them can hold one.
  return HmacSha256Hex(key_.Reveal(), absl::StrCat("lease\n", lease.task_id, "\n", lease.epoch, "\n", lease.worker_name,
                                                   "\n", lease.incarnation));
}

bool Seal::IsGenuine(const Lease& lease) const { return EqualInConstantTime(lease.token, LeaseToken(lease)); }

std::string Seal::PageToken(std::int64_t sequence) const {
  return absl::StrCat(sequence, "-", HmacSha256Hex(key_.Reveal(), absl::StrCat("page\n", sequence)).substr(0, 16));
}

std::optional<std::int64_t> Seal::ParsePageToken(std::string_view token) const {
  std::int64_t sequence = 0;
  const absl::string_view number(token.data(), std::min(token.find('-'), token.size()));
  if (!absl::SimpleAtoi(number, &sequence) || !EqualInConstantTime(token, PageToken(sequence))) return std::nullopt;
  return sequence;
}

}  // namespace gptvq

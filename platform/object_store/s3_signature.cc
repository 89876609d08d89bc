#include "platform/object_store/s3_signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/check.h"
#include "core/base/file.h"

namespace gptvq {
namespace {

constexpr char kAlgorithm[] = "AWS4-HMAC-SHA256";
constexpr std::size_t kSha256Bytes = 32;

std::string HmacSha256(std::string_view key, std::string_view text) {
  std::array<unsigned char, kSha256Bytes> mac;
  unsigned int mac_bytes = 0;
  const unsigned char* written =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
           text.size(), mac.data(), &mac_bytes);
  GPTVQ_CHECK(written != nullptr && mac_bytes == mac.size());
  return std::string(reinterpret_cast<const char*>(mac.data()), mac.size());
}

std::vector<std::pair<std::string, std::string>> Sorted(std::vector<std::pair<std::string, std::string>> pairs) {
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

// "host;x-amz-date"
std::string SignedHeaderNames(const SignableRequest& request) {
  std::string names;
  for (const auto& [name, value] : Sorted(request.headers)) absl::StrAppend(&names, names.empty() ? "" : ";", name);
  return names;
}

}  // namespace

std::string PercentEncode(std::string_view text, EncodedPart part) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const bool is_plain = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' ||
                          c == '~' || (c == '/' && part == EncodedPart::kPath);
    if (is_plain) {
      encoded.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded.append({'%', kDigits[byte >> 4], kDigits[byte & 15]});
  }
  return encoded;
}

std::string CanonicalQuery(const QueryParameters& query) {
  std::vector<std::pair<std::string, std::string>> encoded;
  for (const auto& [name, value] : query) {
    encoded.emplace_back(PercentEncode(name, EncodedPart::kQuery), PercentEncode(value, EncodedPart::kQuery));
  }
  std::string text;
  for (const auto& [name, value] : Sorted(std::move(encoded))) {
    absl::StrAppend(&text, text.empty() ? "" : "&", name, "=", value);
  }
  return text;
}

std::string AmzDate(WallTime time) {
  return absl::FormatTime("%Y%m%dT%H%M%SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

std::string Sha256Hex(absl::Span<const std::byte> bytes) {
  std::array<unsigned char, kSha256Bytes> hash;
  GPTVQ_CHECK(EVP_Digest(bytes.data(), bytes.size(), hash.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(hash.data()), hash.size()));
}

std::string CanonicalRequest(const SignableRequest& request) {
  std::string text = absl::StrCat(request.method, "\n", request.encoded_path, "\n", request.canonical_query, "\n");
  for (const auto& [name, value] : Sorted(request.headers)) absl::StrAppend(&text, name, ":", value, "\n");
  absl::StrAppend(&text, "\n", SignedHeaderNames(request), "\n", request.payload_sha256);
  return text;
}

std::string Authorization(const SignableRequest& request, const SigningIdentity& identity, std::string_view amz_date) {
  const std::string date(amz_date.substr(0, 8));
  const std::string scope = absl::StrCat(date, "/", identity.region, "/", identity.service, "/aws4_request");
  const std::string to_sign = absl::StrCat(kAlgorithm, "\n", std::string(amz_date), "\n", scope, "\n",
                                           Sha256Hex(AsBytes(CanonicalRequest(request))));
  const Secret secret(absl::StrCat("AWS4", identity.secret_access_key.Reveal()));
  const Secret date_key(HmacSha256(secret.Reveal(), date));
  const Secret region_key(HmacSha256(date_key.Reveal(), identity.region));
  const Secret service_key(HmacSha256(region_key.Reveal(), identity.service));
  const Secret signing_key(HmacSha256(service_key.Reveal(), "aws4_request"));
  return absl::StrCat(kAlgorithm, " Credential=", identity.access_key_id, "/", scope,
                      ", SignedHeaders=", SignedHeaderNames(request),
                      ", Signature=", absl::BytesToHexString(HmacSha256(signing_key.Reveal(), to_sign)));
}

}  // namespace gptvq

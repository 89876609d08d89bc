#include "platform/tls/tls_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/support/test_authority.h"

namespace gptvq {
namespace {

TEST(TlsFiles, BelongTogether) {
  EXPECT_TRUE(TlsFiles{}.Validate().ok());
  EXPECT_TRUE((TlsFiles{"c", "k", "a"}).Validate().ok());
  EXPECT_NE((TlsFiles{"c", "k", ""}).Validate().message().find("--tls-ca is missing"), std::string::npos);
  EXPECT_NE((TlsFiles{"c", "", "a"}).Validate().message().find("--tls-key is missing"), std::string::npos);
  EXPECT_NE((TlsFiles{"", "k", "a"}).Validate().message().find("--tls-cert is missing"), std::string::npos);
}

TEST(TlsFiles, SayWhoWeAreAndUntilWhen) {
  TestAuthority authority;
  const TlsFiles files =
      authority.Issue({.names = "URI:spiffe://example.org/gptvq/client/alice,DNS:localhost,IP:127.0.0.1,IP:::1"});
  const WallTime now = SystemClock().WallNow();  // not before it began

  const auto own = CheckTlsFiles(files, now);

  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(own->identity, (Identity{"example.org", Role::kClient, "alice"}));
  EXPECT_EQ(own->certificate.hosts, (std::vector<std::string>{"localhost", "127.0.0.1", "::1"}));
  EXPECT_NE(own->certificate.issuer.find("test authority"), std::string::npos);
  const auto rest = own->certificate.not_after - now;
  EXPECT_LE(rest, std::chrono::hours(30 * 24));
  EXPECT_GT(rest, std::chrono::hours(30 * 24 - 1));
}

TEST(TlsFiles, AreRefusedForEverythingThatAHandshakeWouldFailBy) {
  TestAuthority authority;
  const TlsFiles sound = authority.IssueTo("client/alice");
  const TlsFiles other = authority.IssueTo("client/bob");
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(authority.Join(name)) << text;
    chmod(authority.Join(name).c_str(), 0600);
    return authority.Join(name);
  };
  const std::string readable_key = authority.Join("readable.key");
  std::filesystem::copy_file(sound.key, readable_key);
  chmod(readable_key.c_str(), 0644);
  std::system(("openssl ec -aes128 -passout pass:x -in " + sound.key + " -out " + authority.Join("locked.key") +
               " 2> /dev/null")
                  .c_str());
  std::string damaged;
  std::getline(std::ifstream(sound.certificate), damaged, '\0');
  damaged[damaged.size() / 2] = '!';

  struct Row {
    std::string what;
    TlsFiles files;
    absl::StatusCode code;
    std::string words;
  };
  for (const Row& row : std::vector<Row>{
           {"no certificate file",
            {"/nonexistent", sound.key, sound.authority},
            absl::StatusCode::kNotFound,
            "--tls-cert"},
           {"no key file",
            {sound.certificate, "/nonexistent", sound.authority},
            absl::StatusCode::kNotFound,
            "--tls-key"},
           {"no authority file",
            {sound.certificate, sound.key, "/nonexistent"},
            absl::StatusCode::kNotFound,
            "--tls-ca"},
           {"a key of another",
            {sound.certificate, other.key, sound.authority},
            absl::StatusCode::kInvalidArgument,
            "is not the key"},
           {"a key that everybody may read",
            {sound.certificate, readable_key, sound.authority},
            absl::StatusCode::kPermissionDenied,
            "chmod 600"},
           {"an encrypted key",
            {sound.certificate, authority.Join("locked.key"), sound.authority},
            absl::StatusCode::kInvalidArgument,
            "encrypted"},
           {"no PEM",
            {write("text", "hello"), sound.key, sound.authority},
            absl::StatusCode::kInvalidArgument,
            "no PEM certificate"},
           {"a damaged certificate",
            {write("damaged", damaged), sound.key, sound.authority},
            absl::StatusCode::kInvalidArgument,
            "no PEM certificate"},
           {"expired", authority.Issue({.names = "URI:spiffe://example.org/gptvq/client/alice", .days = -1}),
            absl::StatusCode::kInvalidArgument, "expired at"},
           {"no URI", authority.Issue({.names = "DNS:localhost"}), absl::StatusCode::kInvalidArgument, "has 0 URIs"},
           {"two URIs",
            authority.Issue(
                {.names = "URI:spiffe://example.org/gptvq/client/a,URI:spiffe://example.org/gptvq/admin/a"}),
            absl::StatusCode::kInvalidArgument, "has 2 URIs"},
           {"a URI of another kind", authority.Issue({.names = "URI:https://example.org/alice"}),
            absl::StatusCode::kInvalidArgument, "is no identity"}}) {
    const absl::Status status = CheckTlsFiles(row.files, SystemClock().WallNow()).status();

    EXPECT_EQ(status.code(), row.code) << row.what << ": " << status;
    EXPECT_NE(status.message().find(row.words), std::string::npos) << row.what << ": " << status;
  }
  const absl::Status early = CheckTlsFiles(sound, SystemClock().WallNow() - std::chrono::hours(48)).status();
  EXPECT_NE(early.message().find("not valid before"), std::string::npos) << early;
}

}  // namespace
}  // namespace gptvq

#include "platform/tls/revocations.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "platform/tls/tls_files.h"
#include "tests/support/test_authority.h"

namespace gptvq {
namespace {

class RevocationsTest : public testing::Test {
 protected:
  Certificate Issued(const TlsFiles& files) { return CheckTlsFiles(files, clock_.WallNow())->certificate; }
  auto Load(const std::string& file) { return Revocations::Load(file, authority_.authority_file(), clock_, log_); }

  TestAuthority authority_;
  SystemClock clock_;
  std::ostringstream log_text_;
  Logger log_{LogLevel::kInfo, log_text_};
};

TEST_F(RevocationsTest, HoldWhatTheAuthorityTookBackAndNothingElse) {
  const TlsFiles alice = authority_.IssueTo("client/alice");
  const TlsFiles bob = authority_.IssueTo("client/bob");

  const auto revocations = Load(authority_.Revoke(alice));

  ASSERT_TRUE(revocations.ok()) << revocations.status();
  EXPECT_TRUE((*revocations)->IsRevoked(Issued(alice)));
  EXPECT_FALSE((*revocations)->IsRevoked(Issued(bob)));
  Certificate of_another_authority = Issued(alice);
  of_another_authority.issuer = "CN = another";
  EXPECT_FALSE((*revocations)->IsRevoked(of_another_authority));
}

TEST_F(RevocationsTest, AreReadAnewWhenTheFileChangesUnlessItIsDamaged) {
  const TlsFiles alice = authority_.IssueTo("client/alice");
  const TlsFiles bob = authority_.IssueTo("client/bob");
  const std::string file = authority_.Revoke(alice);
  const auto revocations = Load(file);
  ASSERT_TRUE(revocations.ok()) << revocations.status();

  authority_.Revoke(bob);
  EXPECT_TRUE((*revocations)->IsRevoked(Issued(bob)));
  std::ofstream(file) << "damaged";
  EXPECT_TRUE((*revocations)->IsRevoked(Issued(alice)));
  EXPECT_NE(log_text_.str().find("the ones before still hold"), std::string::npos);
}

TEST_F(RevocationsTest, OfAnotherAuthorityOrNoneAtAllAreRefused) {
  TestAuthority stranger;
  const std::string foreign = stranger.Revoke(stranger.IssueTo("client/alice"));
  EXPECT_NE(Load(foreign).status().message().find("is signed by no certificate of"), std::string::npos);
  EXPECT_EQ(Load("/nonexistent").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Load(authority_.authority_file()).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace gptvq

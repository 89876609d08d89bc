#include "platform/object_store/s3_credentials.h"

#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_http_server.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

Environment Variables(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
    const auto it = variables.find(name);
    if (it == variables.end()) return std::nullopt;
    return it->second;
  };
}

S3Profile ProfileWith(CredentialOptions options) {
  S3Profile profile = S3Profile::Aws("us-east-1");
  profile.credentials = std::move(options);
  return profile;
}

TEST(S3Credentials, ComeFromTheEnvironment) {
  const FakeClock clock;
  const auto source = MakeCredentialSource(
      ProfileWith({}),
      Variables({{"AWS_ACCESS_KEY_ID", "id"}, {"AWS_SECRET_ACCESS_KEY", "key"}, {"AWS_SESSION_TOKEN", "token"}}),
      clock);

  const auto credentials = source->Get();

  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ(credentials->access_key_id, "id");
  EXPECT_EQ(credentials->secret_access_key.Reveal(), "key");
  EXPECT_EQ(credentials->session_token.Reveal(), "token");
}

TEST(S3Credentials, ComeFromASectionOfAFileAndFollowIt) {
  FakeClock clock;
  const TemporaryDirectory directory;
  directory.WriteFile("credentials",
                      "# comment\n[default]\naws_access_key_id = other\naws_secret_access_key = other\n"
                      "[gptvq]\r\naws_access_key_id=id\naws_secret_access_key = a=b/c+d==\n");
  const auto source = MakeCredentialSource(
      ProfileWith({.kind = CredentialKind::kFile, .file = directory.Join("credentials"), .file_profile = "gptvq"}),
      Variables({}), clock);
  EXPECT_EQ(source->Get()->access_key_id, "id");
  EXPECT_EQ(source->Get()->secret_access_key.Reveal(), "a=b/c+d==");

  directory.WriteFile("credentials", "[gptvq]\naws_access_key_id=new\naws_secret_access_key=k\n");
  EXPECT_EQ(source->Get()->access_key_id, "id");
  clock.Advance(seconds(61));
  EXPECT_EQ(source->Get()->access_key_id, "new");
}

TEST(S3Credentials, MissingOnesAreNamedAndNothingIsQuoted) {
  const FakeClock clock;
  const TemporaryDirectory directory;
  directory.WriteFile("credentials", "[default]\naws_access_key_id = CANARY\n");
  const auto message = [&](CredentialOptions options) {
    return std::string(
        MakeCredentialSource(ProfileWith(std::move(options)), Variables({}), clock)->Get().status().message());
  };

  EXPECT_THAT(message({.kind = CredentialKind::kEnvironment}), HasSubstr("AWS_ACCESS_KEY_ID"));
  EXPECT_THAT(message({.kind = CredentialKind::kWebIdentity}), HasSubstr("AWS_WEB_IDENTITY_TOKEN_FILE"));
  EXPECT_THAT(message({.kind = CredentialKind::kFile, .file = directory.Join("absent")}), HasSubstr("absent"));
  const std::string incomplete = message({.kind = CredentialKind::kFile, .file = directory.Join("credentials")});
  EXPECT_THAT(incomplete, HasSubstr("[default]"));
  EXPECT_THAT(incomplete, Not(HasSubstr("CANARY")));
}

class WebIdentity : public testing::Test {
 protected:
  std::unique_ptr<S3CredentialSource> Source(const FakeHttpServer& sts) {
    return MakeCredentialSource(ProfileWith({.kind = CredentialKind::kWebIdentity,
                                             .sts_endpoint = absl::StrCat("http://127.0.0.1:", sts.port())}),
                                Variables({{"AWS_WEB_IDENTITY_TOKEN_FILE", directory_.Join("token")},
                                           {"AWS_ROLE_ARN", "arn:aws:iam::1:role/r"}}),
                                clock_);
  }

  FakeClock clock_;
  const TemporaryDirectory directory_;
};

TEST_F(WebIdentity, IsExchangedAndRenewedBeforeItExpires) {
  directory_.WriteFile("token", "first-CANARY\n");
  int count = 0;
  const FakeHttpServer sts([&](const ReceivedRequest&) {
    return Answer(200,
                  absl::StrCat("<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
                               "<AccessKeyId>id",
                               ++count,
                               "</AccessKeyId><SecretAccessKey>key</SecretAccessKey>"
                               "<SessionToken>session</SessionToken><Expiration>2013-05-24T01:00:00Z</Expiration>"
                               "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"),
                  "Date: Fri, 24 May 2013 00:00:00 GMT\r\n");  // an hour to live, whatever our own clock says
  });
  const auto source = Source(sts);

  const auto first = source->Get();
  ASSERT_TRUE(first.ok()) << first.status();
  clock_.Advance(seconds(3600 - 300 - 1));
  EXPECT_EQ(source->Get()->access_key_id, "id1");
  directory_.WriteFile("token", "second-CANARY");
  clock_.Advance(seconds(1));
  EXPECT_EQ(source->Get()->access_key_id, "id2");

  EXPECT_EQ(first->session_token.Reveal(), "session");
  ASSERT_THAT(sts.requests(), SizeIs(2));
  EXPECT_EQ(sts.requests()[0].body,
            "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=gptvq&"
            "Version=2011-06-15&WebIdentityToken=first-CANARY");
  EXPECT_THAT(sts.requests()[1].body, HasSubstr("second-CANARY"));
}

TEST_F(WebIdentity, RefusalSaysWhyAndNoToken) {
  directory_.WriteFile("token", "CANARY");
  const FakeHttpServer sts([](const ReceivedRequest&) {
    return Answer(403,
                  "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>");
  });

  const absl::Status status = Source(sts)->Get().status();

  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("AccessDenied (not you)"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("CANARY")));
}

TEST(S3CredentialSource, RefusedOnesAreFetchedAgainOnce) {
  const FakeClock clock;
  int count = 0;
  S3CredentialSource source(
      [&]() -> absl::StatusOr<S3CredentialSource::Fetched> {
        return S3CredentialSource::Fetched{{absl::StrCat("id", ++count), Secret("key"), Secret()}, {}};
      },
      clock);
  const S3Credentials first = source.Get().value();

  source.Refused(first);
  EXPECT_EQ(source.Get()->access_key_id, "id2");
  source.Refused(first);  // by a thread that was slower
  EXPECT_EQ(source.Get()->access_key_id, "id2");
}

}  // namespace
}  // namespace gptvq

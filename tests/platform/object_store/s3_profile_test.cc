#include "platform/object_store/s3_profile.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/operator_file.h"

namespace gptvq {
namespace {

using testing::HasSubstr;

absl::StatusOr<S3Profile> Serving(const S3Profiles& profiles, std::string_view bucket, std::string_view prefix) {
  const absl::StatusOr<std::size_t> index = profiles.IndexFor(bucket, prefix);
  if (!index.ok()) return index.status();
  return profiles.profiles()[*index];
}

// The example that operators read is the one that is tested.
std::string ExampleOfThePage() {
  const std::string page = ReadOperatorFile(GPTVQ_SOURCE_DIR "/docs/storage.md", 1 << 20).value();
  const std::size_t begin = page.find("```json\n") + 8;
  return page.substr(begin, page.find("```", begin) - begin);
}

TEST(S3Profiles, TakesTheExampleOfThePage) {
  const auto profiles = S3Profiles::Parse(ExampleOfThePage());

  ASSERT_TRUE(profiles.ok()) << profiles.status();
  const S3Profile ceph = Serving(*profiles, "models", "llama/7b").value();
  EXPECT_EQ(ceph.endpoint.scheme, "https");
  EXPECT_EQ(ceph.endpoint.authority(), "rgw.example.org:8443");
  EXPECT_EQ(ceph.region, "us-east-1");
  EXPECT_EQ(ceph.addressing, S3Addressing::kPath);
  EXPECT_EQ(ceph.ca_file, "/etc/gptvq/rgw-ca.pem");
  EXPECT_EQ(ceph.credentials.kind, CredentialKind::kFile);
  EXPECT_EQ(ceph.credentials.file, "/run/secrets/gptvq/s3");
  const S3Profile aws = Serving(*profiles, "results", "team-a/job").value();
  EXPECT_EQ(aws.endpoint.authority(), "s3.eu-central-1.amazonaws.com");
  EXPECT_EQ(aws.addressing, S3Addressing::kVirtualHost);
  EXPECT_EQ(aws.credentials.kind, CredentialKind::kWebIdentity);
}

TEST(S3Profiles, LongestPlaceServesAndOthersAreDenied) {
  const auto profiles = S3Profiles::Parse(R"({
    "profiles": {"a": {"region": "r-1"}, "b": {"region": "r-2"}},
    "places": {"bucket/x": "a", "bucket/x/y": "b"}})");
  ASSERT_TRUE(profiles.ok()) << profiles.status();

  EXPECT_EQ(Serving(*profiles, "bucket", "x")->name, "a");
  EXPECT_EQ(Serving(*profiles, "bucket", "x/y")->name, "b");
  EXPECT_EQ(Serving(*profiles, "bucket", "x/y/z")->name, "b");
  EXPECT_EQ(Serving(*profiles, "bucket", "x/yy")->name, "a");
  for (const auto& [bucket, prefix] :
       std::vector<std::pair<std::string, std::string>>{{"bucket", ""}, {"bucket", "xx"}, {"bucket2", "x"}}) {
    EXPECT_EQ(Serving(*profiles, bucket, prefix).status().code(), absl::StatusCode::kPermissionDenied)
        << bucket << "/" << prefix;
  }
}

TEST(S3Profiles, StarServesEveryBucket) {
  const auto profiles = S3Profiles::Parse(R"({"profiles": {"a": {"region": "r"}}, "places": {"*": "a"}})");

  EXPECT_EQ(Serving(*profiles, "any-bucket", "x")->name, "a");
}

TEST(S3Profiles, RefusesWhatItDoesNotUnderstandAndNamesIt) {
  const auto with = [](const std::string& fields) {
    return R"({"profiles": {"p": {"region": "us-east-1", )" + fields + R"(}}, "places": {"b-1": "p"}})";
  };
  struct Case {
    std::string json;
    std::string words;
  };
  for (const Case& test : std::vector<Case>{
           {"[]", "must be an object"},
           {"{}", "\"profiles\" and \"places\""},
           {R"({"profiles": {}, "places": {}, "x": 1})", "unknown key 'x'"},
           {R"({"profiles": {"p": {}}, "places": {}})", "profiles.p.region is missing"},
           {R"({"profiles": {"p": {"region": "a/b"}}, "places": {}})", "profiles.p.region must be lower-case"},
           {R"({"profiles": {}, "places": {"b-1": "p"}})", "places.b-1 must be the name of a profile"},
           {R"({"profiles": {"p": {"region": "r"}}, "places": {"B_1": "p"}})", "places.B_1 must be BUCKET"},
           {with(R"("secret_access_key": "x")"), "profiles.p has an unknown key 'secret_access_key'"},
           {with(R"("endpoint": "rgw.example.org")"), "profiles.p.endpoint must be https://HOST"},
           {with(R"("endpoint": "https://user@host")"), "profiles.p.endpoint"},
           {with(R"("endpoint": "https://host/path")"), "profiles.p.endpoint"},
           {with(R"("endpoint": "ftp://host")"), "profiles.p.endpoint"},
           {with(R"("endpoint": "http://rgw.example.org")"), "allow_plain_http"},
           {with(R"("endpoint": "https://10.0.0.1", "addressing": "virtual-host")"), "profiles.p.addressing"},
           {with(R"("addressing": "both")"), "must be one of path, virtual-host"},
           {with(R"("ca_file": "ca.pem")"), "profiles.p.ca_file must be an absolute path"},
           {with(R"("allow_plain_http": "yes")"), "must be true or false"},
           {with(R"("credentials": {"source": "argv"})"), "profiles.p.credentials.source must be one of"},
           {with(R"("credentials": {"source": "environment", "path": "/x"})"), "unknown key 'path'"},
           {with(R"("region": "twice")"), "region"}}) {
    const absl::Status status = S3Profiles::Parse(test.json).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << test.json;
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.words)) << test.json;
  }
}

TEST(S3Profiles, PlainHttpIsForLoopbackOrForWhoSaysSo) {
  for (const char* fields :
       {R"("endpoint": "http://127.0.0.1:9000")", R"("endpoint": "http://localhost")",
        R"("endpoint": "http://[::1]:80")", R"("endpoint": "http://rgw.example.org", "allow_plain_http": true)"}) {
    const std::string json =
        std::string(R"({"profiles": {"p": {"region": "r", )") + fields + R"(}}, "places": {"b-1": "p"}})";
    EXPECT_TRUE(S3Profiles::Parse(json).ok()) << fields;
  }
}

}  // namespace
}  // namespace gptvq

#include "platform/object_store/s3_signature.h"

#include <string>

#include "core/base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::EndsWith;

// "Examples: Signature Calculations in AWS Signature Version 4", Amazon S3 API Reference.
constexpr char kS3Date[] = "20130524T000000Z";
const std::string& EmptySha256() {
  static const std::string& hex = *new std::string(Sha256Hex({}));
  return hex;
}

SigningIdentity S3Example() {
  return {"AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), "us-east-1", "s3"};
}

SignableRequest S3Request(std::string method, const std::string& path, const QueryParameters& query,
                          const std::string& payload_sha256) {
  SignableRequest request;
  request.method = std::move(method);
  request.encoded_path = PercentEncode(path, EncodedPart::kPath);
  request.canonical_query = CanonicalQuery(query);
  request.headers = {
      {"host", "examplebucket.s3.amazonaws.com"}, {"x-amz-content-sha256", payload_sha256}, {"x-amz-date", kS3Date}};
  request.payload_sha256 = payload_sha256;
  return request;
}

TEST(S3Signature, IsThePublishedOneOfGetObject) {
  SignableRequest request = S3Request("GET", "/test.txt", {}, EmptySha256());
  request.headers.emplace_back("range", "bytes=0-9");

  // The hash is printed in the reference's string to sign.
  EXPECT_EQ(Sha256Hex(AsBytes(CanonicalRequest(request))),
            "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972");
  EXPECT_EQ(Authorization(request, S3Example(), kS3Date),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(S3Signature, IsThePublishedOneOfPutObject) {
  const std::string sha256 = Sha256Hex(AsBytes("Welcome to Amazon S3."));
  SignableRequest request = S3Request("PUT", "/test$file.text", {}, sha256);
  request.headers.emplace_back("date", "Fri, 24 May 2013 00:00:00 GMT");
  request.headers.emplace_back("x-amz-storage-class", "REDUCED_REDUNDANCY");

  EXPECT_EQ(sha256, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
  EXPECT_THAT(Authorization(request, S3Example(), kS3Date),
              EndsWith("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST(S3Signature, IsThePublishedOneOfRequestsWithAQuery) {
  EXPECT_THAT(Authorization(S3Request("GET", "/", {{"lifecycle", ""}}, EmptySha256()), S3Example(), kS3Date),
              EndsWith("Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
  EXPECT_THAT(
      Authorization(S3Request("GET", "/", {{"prefix", "J"}, {"max-keys", "2"}}, EmptySha256()), S3Example(), kS3Date),
      EndsWith("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

// A case of aws-sig-v4-test-suite, which AWS publishes for all its services.
struct SuiteCase {
  std::string name;
  std::string method;
  std::string path;
  QueryParameters query;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string signature;
};

TEST(S3Signature, IsThatOfTheTestSuite) {
  const SigningIdentity identity = {"AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), "us-east-1",
                                    "service"};
  const std::string session_token =
      "AQoDYXdzEPT//////////"
      "wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthA"
      "x7mSEI/qkPpKPi/"
      "kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY"
      "9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
  for (const SuiteCase& test : std::vector<SuiteCase>{
           {"get-vanilla", "GET", "/", {}, {}, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
           {"post-vanilla", "POST", "/", {}, {}, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
           {"get-vanilla-query-order-key-case",
            "GET",
            "/",
            {{"Param2", "value2"}, {"Param1", "value1"}},
            {},
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
           {"get-utf8",
            "GET",
            "/\xe1\x88\xb4",
            {},
            {},
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
           {"get-unreserved",
            "GET",
            "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            {},
            {},
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
           {"get-vanilla-utf8-query",
            "GET",
            "/",
            {{"\xe1\x88\xb4", "bar"}},
            {},
            "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
           {"post-header-key-sort",
            "POST",
            "/",
            {},
            {{"my-header1", "value1"}},
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
           {"post-sts-header-before",
            "POST",
            "/",
            {},
            {{"x-amz-security-token", session_token}},
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"}}) {
    SignableRequest request;
    request.method = test.method;
    request.encoded_path = PercentEncode(test.path, EncodedPart::kPath);
    request.canonical_query = CanonicalQuery(test.query);
    request.headers = test.headers;
    request.headers.emplace_back("host", "example.amazonaws.com");
    request.headers.emplace_back("x-amz-date", "20150830T123600Z");
    request.payload_sha256 = EmptySha256();

    EXPECT_THAT(Authorization(request, identity, "20150830T123600Z"), EndsWith("Signature=" + test.signature))
        << test.name;
  }
}

TEST(S3Signature, WritesTheDateInUtc) { EXPECT_EQ(AmzDate(WallTime(std::chrono::seconds(1369353600))), kS3Date); }

TEST(S3Signature, EncodesASlashInAQueryAndNotInAPath) {
  EXPECT_EQ(PercentEncode("a/b c+d", EncodedPart::kPath), "a/b%20c%2Bd");
  EXPECT_EQ(PercentEncode("a/b c+d", EncodedPart::kQuery), "a%2Fb%20c%2Bd");
}

}  // namespace
}  // namespace gptvq

#include "platform/object_store/object_uri.h"

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {
namespace {

using testing::HasSubstr;

TEST(ObjectUri, TakesAnAbsolutePath) {
  const auto uri = ObjectUri::Parse("file:///models/SmolLM2-135M_v1.0/it's (here)/");

  ASSERT_TRUE(uri.ok()) << uri.status();
  EXPECT_EQ(uri->path(), "/models/SmolLM2-135M_v1.0/it's (here)");
  EXPECT_EQ(ObjectUri::Parse(uri->ToString()).value(), *uri);
}

TEST(ObjectUri, TakesABucketAndWhatIsInIt) {
  const auto bucket = ObjectUri::Parse("s3://my-bucket.1/");
  const auto prefix = ObjectUri::Parse("s3://my-bucket.1/models/it's (here)/");

  ASSERT_TRUE(bucket.ok() && prefix.ok()) << bucket.status() << prefix.status();
  EXPECT_EQ(bucket->scheme(), UriScheme::kS3);
  EXPECT_EQ(bucket->bucket(), "my-bucket.1");
  EXPECT_EQ(bucket->path(), "");
  EXPECT_EQ(bucket->ToString(), "s3://my-bucket.1");
  EXPECT_EQ(prefix->path(), "models/it's (here)");
  EXPECT_EQ(ObjectUri::Parse(prefix->ToString()).value(), *prefix);
}

TEST(ObjectUri, KnowsItsParent) {
  const auto parent = [](std::string_view text) { return ObjectUri::Parse(text)->Parent().value().ToString(); };

  EXPECT_EQ(parent("file:///a/b"), "file:///a");
  EXPECT_EQ(parent("file:///a"), "file:///");
  EXPECT_EQ(parent("s3://bucket/a/b"), "s3://bucket/a");
  EXPECT_EQ(parent("s3://bucket/a"), "s3://bucket");
  EXPECT_FALSE(ObjectUri::Parse("s3://bucket")->Parent().ok());
  EXPECT_EQ(ObjectUri::Parse("s3://bucket/a/b")->FileName(), "b");
  EXPECT_EQ(ObjectUri::Parse("s3://bucket/a")->FileName(), "a");
  EXPECT_EQ(ObjectUri::Parse("file:///a")->FileName(), "a");
}

TEST(ObjectUri, RefusesEverySpellingThatIsNotThePlainOne) {
  const std::string nul("file:///a\0b", 11);
  for (const std::string& text : std::vector<std::string>{"",
                                                          "/models",
                                                          "models",
                                                          "s3://",
                                                          "s3:///k",
                                                          "s3://B_ad/k",
                                                          "s3://ab/k",
                                                          "s3://-bucket/k",
                                                          "s3://bucket./k",
                                                          "s3://buc..ket/k",
                                                          "s3://host:9000/k",
                                                          "s3://user@bucket/k",
                                                          "s3://bucket//k",
                                                          "s3://bucket/a/../b",
                                                          "s3://bucket/%2e%2e",
                                                          "s3://bucket/a?endpoint=http://evil",
                                                          "s3://" + std::string(64, 'a') + "/k",
                                                          "S3://bucket/k",
                                                          "http://host/x",
                                                          "https://host/x",
                                                          "gopher://host/x",
                                                          "FILE:///x",
                                                          "file:/x",
                                                          "file://host/x",
                                                          "file://user:pass@host/x",
                                                          "file://",
                                                          "file:///",
                                                          "file://./x",
                                                          "file:///a/../b",
                                                          "file:///..",
                                                          "file:///a/./b",
                                                          "file:///a//b",
                                                          "file:////a",
                                                          "file:///a/b//",
                                                          "file:///%2e%2e/a",
                                                          "file:///a%00",
                                                          "file:///a\\..\\b",
                                                          "file:///a.",
                                                          "file:///a./b",
                                                          "file:///...",
                                                          "file:///a?endpoint=http://evil",
                                                          "file:///a#b",
                                                          "file:///\xef\xbc\x8e\xef\xbc\x8e/a",
                                                          "file:///a\nb",
                                                          nul,
                                                          "file:///" + std::string(1024, 'a')}) {
    const absl::Status status = ObjectUri::Parse(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("accepted: file:///absolute/path, s3://bucket/prefix"));
    EXPECT_LT(status.message().size(), 900u);
  }
}

TEST(ObjectUri, ArgumentWithoutSchemeIsAPathOfThisMachine) {
  const TemporaryDirectory directory;
  directory.WriteFile("real/model \xff/x", "1");
  std::filesystem::create_directory_symlink(directory.Join("real"), directory.Join("link"));

  const auto uri = ObjectUri::ParseArgument(directory.Join("link/./model \xff/"));

  ASSERT_TRUE(uri.ok()) << uri.status();
  EXPECT_EQ(uri->path(), std::filesystem::canonical(directory.Join("real")).string() + "/model \xff");
}

TEST(ObjectUri, RelativeArgumentBecomesAbsolute) {
  const auto uri = ObjectUri::ParseArgument("does/not/../exist");

  ASSERT_TRUE(uri.ok()) << uri.status();
  EXPECT_EQ(uri->path(), std::filesystem::canonical(".").string() + "/does/exist");
}

TEST(ObjectUri, ArgumentWithASchemeIsParsedStrictly) {
  EXPECT_EQ(ObjectUri::ParseArgument("file:///a/b").value(), ObjectUri::Parse("file:///a/b").value());
  EXPECT_FALSE(ObjectUri::ParseArgument("file:///a/../b").ok());
  EXPECT_FALSE(ObjectUri::ParseArgument("http://host/x").ok());
  EXPECT_FALSE(ObjectUri::ParseArgument("").ok());
  EXPECT_FALSE(ObjectUri::ParseArgument(std::string_view("a\0b", 3)).ok());
  EXPECT_FALSE(ObjectUri::ParseArgument(std::string(5000, 'a')).ok());
}

}  // namespace
}  // namespace gptvq

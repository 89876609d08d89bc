#include "platform/object_store/s3_connector.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {
namespace {

using testing::HasSubstr;

Environment Variables(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
    const auto it = variables.find(name);
    if (it == variables.end()) return std::nullopt;
    return it->second;
  };
}

ObjectUri Uri(std::string_view text) { return ObjectUri::Parse(text).value(); }

TEST(S3Connector, ServesNothingWithoutAFileAndARegion) {
  FakeClock clock;
  const auto connector = S3Connector::Create("", Variables({}), clock);
  ASSERT_TRUE(connector.ok()) << connector.status();

  const absl::Status status = connector->Open(Uri("s3://bucket/x")).status();

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("AWS_REGION"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("--storage-profiles"));
}

TEST(S3Connector, ServesEveryBucketOfTheRegionWithoutAFile) {
  FakeClock clock;
  const auto connector = S3Connector::Create("", Variables({{"AWS_REGION", "eu-central-1"}}), clock);
  ASSERT_TRUE(connector.ok()) << connector.status();

  const auto store = connector->Open(Uri("s3://bucket/x/y"));  // asks nobody

  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->name(), "s3://bucket/x/y");
  EXPECT_EQ(connector->OpenFile(Uri("s3://bucket")).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(S3Connector, NamesTheFileOrTheVariableThatIsWrong) {
  FakeClock clock;
  const TemporaryDirectory directory;
  directory.WriteFile("profiles.json", "{}");
  const auto message = [&](const std::string& file, const Environment& environment) {
    return S3Connector::Create(file, environment, clock).status().ToString();
  };

  EXPECT_THAT(message(directory.Join("profiles.json"), Variables({})), HasSubstr("profiles.json"));
  EXPECT_THAT(message(directory.Join("absent.json"), Variables({})), HasSubstr("absent.json: No such file"));
  EXPECT_THAT(message(directory.path(), Variables({})), HasSubstr(directory.path()));
  EXPECT_THAT(message("", Variables({{"AWS_REGION", "evil.example/"}})), HasSubstr("AWS_REGION"));
}

}  // namespace
}  // namespace gptvq

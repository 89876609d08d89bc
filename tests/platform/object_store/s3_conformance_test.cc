// The conformance suite, and what else can only be seen there, against a real server that tests/support/ceph_rgw.py starts.

#include <chrono>
#include <filesystem>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/clock.h"
#include "platform/object_store/s3_answers.h"
#include "platform/object_store/s3_connector.h"
#include "platform/object_store/s3_writable_file.h"
#include "platform/operator_file.h"
#include "platform/options.h"
#include "tests/platform/object_store/object_store_conformance.h"
#include "tests/support/fake_clock.h"

namespace gptvq {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Setting(const std::string& variable) {
  const std::optional<std::string> value = ProcessEnvironment()(variable);
  if (!value) ADD_FAILURE() << variable << " is not set: run this test through tests/support/ceph_rgw.py";
  return value.value_or("");
}

SystemClock& TheClock() {
  static SystemClock& clock = *new SystemClock;
  return clock;
}

const S3Connector& Connector() {
  static const S3Connector& connector = *new S3Connector(
      S3Connector::Create(Setting("GPTVQ_TEST_S3_PROFILES"), ProcessEnvironment(), TheClock()).value());
  return connector;
}

// A prefix of its own for every test, since all share a bucket.
std::unique_ptr<S3ObjectStore> OpenStore(const std::string& bucket_suffix, const std::string& prefix) {
  const std::string uri = absl::StrCat("s3://", Setting("GPTVQ_TEST_S3_BUCKET"), bucket_suffix, "/", prefix);
  return Connector().Open(ObjectUri::Parse(uri).value()).value();
}

ObjectStoreImplementation S3(const std::string& name, const std::string& bucket_suffix) {
  return {name,
          [bucket_suffix](const TemporaryDirectory& directory) {
            return OpenStore(bucket_suffix, std::filesystem::path(directory.path()).filename().string());
          },
          OldObjects::kFailToRead};
}

INSTANTIATE_TEST_SUITE_P(S3, ObjectStoreConformance,
                         testing::Values(S3("PlainPath", ""), S3("TlsPath", "-tls"), S3("VirtualHost", "-host")),
                         [](const auto& info) { return info.param.name; });

// What only a real server can tell: its limits, its errors, its idea of an ETag.
class S3Server : public testing::Test {
 protected:
  // The profile of that name in the file that the server's script wrote.
  static S3Profile ProfileNamed(const std::string& name) {
    const S3Profiles profiles =
        S3Profiles::Parse(ReadOperatorFile(Setting("GPTVQ_TEST_S3_PROFILES"), 1 << 20).value()).value();
    for (const S3Profile& profile : profiles.profiles()) {
      if (profile.name == name) return profile;
    }
    ADD_FAILURE() << "no profile " << name;
    return S3Profile();
  }

  static std::shared_ptr<S3Client> MakeClient(const S3Profile& profile, const Environment& environment, Clock& clock) {
    return std::make_shared<S3Client>(profile, MakeCredentialSource(profile, environment, clock),
                                      std::make_shared<S3Retry>(S3RetryOptions()), clock);
  }

  // The environment of this process but for one variable.
  static Environment With(const std::string& changed, const std::string& value) {
    return [=](const std::string& variable) -> std::optional<std::string> {
      return variable == changed ? value : ProcessEnvironment()(variable);
    };
  }

  S3Place Place(const std::string& key) const { return {bucket_, absl::StrCat(prefix_, "/", key)}; }

  std::unique_ptr<S3ObjectStore> MakeStore(std::shared_ptr<S3Client> client, S3ObjectStoreOptions options = {}) const {
    return std::make_unique<S3ObjectStore>(std::move(client), S3Place{bucket_, prefix_}, options);
  }

  static absl::Status Put(ObjectStore& store, const std::string& key, const std::string& contents) {
    auto file = store.Create(key);
    if (!file.ok()) return file.status();
    if (absl::Status status = (*file)->Append(AsBytes(contents)); !status.ok()) return status;
    return (*file)->Close();
  }

  const TemporaryDirectory directory_;  // for its name, which nobody else has
  const std::string bucket_ = Setting("GPTVQ_TEST_S3_BUCKET");
  const std::string prefix_ = std::filesystem::path(directory_.path()).filename().string();
  SystemClock clock_;
  const std::shared_ptr<S3Client> client_ = MakeClient(ProfileNamed("plain"), ProcessEnvironment(), clock_);
  const std::unique_ptr<S3ObjectStore> store_ = MakeStore(client_);
};

std::string RandomBytes(std::size_t size) {
  std::mt19937_64 random(size);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

TEST_F(S3Server, KeepsALargeObjectInParts) {
  const std::string contents = RandomBytes((19 << 20) + 5);  // parts of 8, 8 and 3 MiB and a little

  const absl::Status put = Put(*store_, "large", contents);

  ASSERT_TRUE(put.ok()) << put;

  auto file = store_->Open("large");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(ReadWholeFile(**file, contents.size()).value(), contents);
  std::string middle(1000, '?');
  ASSERT_TRUE((*file)->ReadAt((8 << 20) - 500, {reinterpret_cast<std::byte*>(middle.data()), middle.size()}).ok());
  EXPECT_EQ(middle, contents.substr((8 << 20) - 500, 1000));
  EXPECT_THAT(std::string(client_->Head(Place("large"))->etag), HasSubstr("-3\""));
}

TEST_F(S3Server, AgreesWithUsOnTheEtagOfParts) {
  const std::string part = RandomBytes(5 << 20);
  S3Call begin = {.method = "POST", .place = Place("x"), .query = {{"uploads", ""}}};
  const std::string id = ParseUploadId(client_->Send(begin)->body).value();
  std::vector<std::string> etags;
  for (const char* number : {"1", "2"}) {
    const auto sent = client_->Send({.method = "PUT",
                                     .place = Place("x"),
                                     .query = {{"partNumber", number}, {"uploadId", id}},
                                     .body = AsBytes(part)});
    ASSERT_TRUE(sent.ok()) << sent.status();
    etags.emplace_back(sent->Header("etag"));
  }
  const std::string xml = CompleteUploadXml(etags);

  const auto completed =
      client_->Send({.method = "POST", .place = Place("x"), .query = {{"uploadId", id}}, .body = AsBytes(xml)});

  ASSERT_TRUE(completed.ok()) << completed.status();
  EXPECT_EQ(S3MultipartEtag(etags), client_->Head(Place("x"))->etag);
}

TEST_F(S3Server, ListsMoreThanOnePage) {
  for (int i = 0; i < 1001; ++i) ASSERT_TRUE(Put(*store_, absl::StrCat("k", i), "x").ok());

  EXPECT_EQ(store_->List("", ListScope::kDirect)->size(), 1001u);
}

TEST_F(S3Server, TakesAPrefixWithEveryCharacterOfAUri) {
  const std::string uri =
      absl::StrCat("s3://", bucket_, "/", prefix_, "/it's (here) + a=b&c;d,e:f@g!h$i*j~k\"l<m>n[o]^p`q{r|s}");
  auto store = Connector().Open(ObjectUri::Parse(uri).value());
  ASSERT_TRUE(store.ok());

  ASSERT_TRUE(Put(**store, "x", "contents").ok());

  EXPECT_EQ((*store)->List("", ListScope::kDirect)->size(), 1u);
  auto file = Connector().OpenFile(ObjectUri::Parse(uri + "/x").value());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(ReadWholeFile(**file, 100).value(), "contents");
}

TEST_F(S3Server, RemovesOnlyUploadsThatHaveRested) {
  const std::string part = RandomBytes(9 << 20);
  auto writing = store_->Create("d/writing");
  ASSERT_TRUE((*writing)->Append(AsBytes(part)).ok());

  ASSERT_TRUE(store_->RemoveAbandonedWrites(ListScope::kRecursive).ok());
  const absl::Status written = (*writing)->Close();
  EXPECT_TRUE(written.ok()) << written;

  auto abandoned = store_->Create("d/abandoned");
  ASSERT_TRUE((*abandoned)->Append(AsBytes(part)).ok());
  const auto impatient = MakeStore(client_, {.abandoned_after = std::chrono::hours(-1)});  // as if it were later
  ASSERT_TRUE(impatient->RemoveAbandonedWrites(ListScope::kDirect).ok());                  // looks at the root alone
  ASSERT_TRUE((*abandoned)->Append(AsBytes(part)).ok());
  ASSERT_TRUE(impatient->RemoveAbandonedWrites(ListScope::kRecursive).ok());
  const absl::Status closed = (*abandoned)->Close();
  EXPECT_EQ(closed.code(), absl::StatusCode::kUnavailable) << closed;
  EXPECT_EQ(store_->Stat("d/abandoned").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(S3Server, DroppedUploadLeavesNothing) {
  {
    auto file = store_->Create("x");
    ASSERT_TRUE((*file)->Append(AsBytes(RandomBytes(9 << 20))).ok());
  }

  const auto listed =
      client_->Send({.method = "GET", .place = {bucket_, ""}, .query = {{"uploads", ""}, {"prefix", prefix_}}});
  EXPECT_THAT(ParseUploadPage(listed->body)->uploads, IsEmpty());
}

// Two coordinators may take themselves for the one that writes.
TEST_F(S3Server, AnUploadThatSomebodyElseChangedIsNeverCompleted) {
  const std::string part = RandomBytes(kSavedPartBytes);
  auto file = store_->CreateResumable("x");
  ASSERT_TRUE((*file)->Append(AsBytes(part)).ok());
  const std::string ticket = (*file)->Save().value();
  ASSERT_TRUE((*file)->Append(AsBytes("end")).ok());
  const std::string upload_id = ticket.substr(0, ticket.find(' '));

  std::string other = part;
  other[0] ^= 1;
  const auto put = client_->Send({.method = "PUT",
                                  .place = Place("x"),
                                  .query = {{"partNumber", "1"}, {"uploadId", upload_id}},
                                  .body = AsBytes(other)});

  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_EQ(store_->Resume("x", ticket).status().code(), absl::StatusCode::kNotFound);
  const absl::Status closed = (*file)->Close();
  EXPECT_FALSE(closed.ok());
  EXPECT_EQ(store_->Stat("x").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(S3Server, TwoThatPutTheSameBytesIntoOneUploadDoNotHurtEachOther) {
  const std::string part = RandomBytes(kSavedPartBytes);
  auto paused = store_->CreateResumable("x");
  ASSERT_TRUE((*paused)->Append(AsBytes(part)).ok());
  auto heir = store_->Resume("x", (*paused)->Save().value());
  ASSERT_TRUE(heir.ok()) << heir.status();

  for (auto* writer : {&*heir, &*paused}) {
    ASSERT_TRUE((*writer)->Append(AsBytes(part)).ok());
    ASSERT_TRUE((*writer)->Save().ok());
  }
  ASSERT_TRUE((*heir)->Append(AsBytes("end")).ok());
  const absl::Status closed = (*heir)->Close();

  ASSERT_TRUE(closed.ok()) << closed;
  EXPECT_TRUE(ReadWholeFile(**store_->Open("x"), 64 << 20).value() == part + part + "end");
  ASSERT_TRUE((*paused)->Append(AsBytes("end")).ok());
  EXPECT_FALSE((*paused)->Close().ok());  // its upload is gone
}

TEST_F(S3Server, DiscardedUploadsAreGone) {
  {
    auto file = store_->CreateResumable("x");
    ASSERT_TRUE((*file)->Append(AsBytes(RandomBytes(kSavedPartBytes))).ok());
    ASSERT_TRUE((*file)->Save().ok());
    (*file)->Discard();
  }

  const auto listed =
      client_->Send({.method = "GET", .place = {bucket_, ""}, .query = {{"uploads", ""}, {"prefix", prefix_}}});
  EXPECT_THAT(ParseUploadPage(listed->body)->uploads, IsEmpty());
}

TEST_F(S3Server, RefusalsSayWhyAndNoSecret) {
  const std::string wrong = "wrong-secret-CANARY";
  const auto stat = [this](const S3Profile& profile, const Environment& environment, Clock& clock) {
    return MakeStore(MakeClient(profile, environment, clock))->Stat("x").status();
  };

  const absl::Status bad_secret = stat(ProfileNamed("plain"), With("AWS_SECRET_ACCESS_KEY", wrong), clock_);
  const absl::Status bad_key = stat(ProfileNamed("plain"), With("AWS_ACCESS_KEY_ID", "NOBODY"), clock_);
  FakeClock long_ago;  // 2019
  const absl::Status skewed = stat(ProfileNamed("plain"), ProcessEnvironment(), long_ago);
  S3Profile without_ca = ProfileNamed("tls");
  without_ca.ca_file = "";
  const absl::Status untrusted = stat(without_ca, ProcessEnvironment(), clock_);
  const absl::Status no_bucket = Connector()
                                     .Open(ObjectUri::Parse(absl::StrCat("s3://", bucket_, "-missing/x")).value())
                                     .value()
                                     ->CheckReachable();

  EXPECT_EQ(bad_secret.code(), absl::StatusCode::kPermissionDenied) << bad_secret;
  EXPECT_THAT(std::string(bad_secret.message()), HasSubstr("SignatureDoesNotMatch"));
  EXPECT_THAT(std::string(bad_secret.message()), Not(HasSubstr("CANARY")));
  EXPECT_EQ(bad_key.code(), absl::StatusCode::kPermissionDenied) << bad_key;
  EXPECT_THAT(std::string(bad_key.message()), HasSubstr("check the credentials of storage profile 'plain'"));
  EXPECT_EQ(skewed.code(), absl::StatusCode::kPermissionDenied) << skewed;
  EXPECT_THAT(std::string(skewed.message()), HasSubstr("the clock of this machine is wrong"));
  EXPECT_EQ(untrusted.code(), absl::StatusCode::kFailedPrecondition) << untrusted;
  EXPECT_THAT(std::string(untrusted.message()), HasSubstr("certificate"));
  EXPECT_EQ(no_bucket.code(), absl::StatusCode::kNotFound) << no_bucket;
  EXPECT_THAT(std::string(no_bucket.message()), HasSubstr("make the bucket"));
}

TEST_F(S3Server, PlacesOfNoProfileAreDenied) {
  const auto store = Connector().Open(ObjectUri::Parse("s3://somebody-elses/x").value());

  EXPECT_EQ(store.status().code(), absl::StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace gptvq

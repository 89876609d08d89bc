// What S3ObjectStore makes of a server that is busy, broken, cut off, or that lies, above all while it reads.

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/platform/object_store/s3_fault_fixture.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;
using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;
using testing::SizeIs;

TEST_F(S3Fault, TriesAgainAfterEveryPassingError) {
  Serve({Answer(500, ErrorXml("InternalError")), Answer(503, ErrorXml("SlowDown")), Answer(502, "<html>proxy</html>"),
         Answer(429, ""), Answer(400, ErrorXml("RequestTimeout")), Answer(409, ErrorXml("OperationAborted")),
         Answer(200, "", "ETag: \"e\"\r\n")});

  EXPECT_TRUE(Put(*Store(), "contents").ok());

  EXPECT_THAT(server_->requests(), SizeIs(7));
  ASSERT_THAT(clock_.sleeps, SizeIs(6));
  const std::vector<int> ceilings = {200, 400, 800, 1600, 3200, 6400};
  for (int i = 0; i < 6; ++i) EXPECT_THAT(clock_.sleeps[i], Le(milliseconds(ceilings[i])));
}

TEST_F(S3Fault, GivesUpInTheEndAndSaysWhy) {
  Serve({Answer(503, ErrorXml("SlowDown"))});

  const absl::Status status = Put(*Store({.max_attempts = 4}), "contents");

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("s3://bucket/p/x: HTTP 503 SlowDown (words)"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("after 4 attempts"));
  EXPECT_THAT(server_->requests(), SizeIs(4));
}

TEST_F(S3Fault, BudgetOfTheProcessBoundsAllRetries) {
  Serve({Answer(500, "")});
  const auto store = Store({.budget = 50, .retry_cost = 5});

  for (int i = 0; i < 30; ++i) EXPECT_FALSE(store->Stat("x").ok());

  EXPECT_THAT(server_->requests(), SizeIs(30 + 10));
}

TEST_F(S3Fault, DoesNotRepeatWhatCanNotSucceed) {
  struct Case {
    ScriptedAnswer answer;
    absl::StatusCode code;
    std::string words;
  };
  for (const Case& test : std::vector<Case>{
           {Answer(403, ErrorXml("AccessDenied")), absl::StatusCode::kPermissionDenied,
            "profile 'test' lacks the right"},
           {Answer(403, ErrorXml("QuotaExceeded")), absl::StatusCode::kResourceExhausted, "QuotaExceeded"},
           {Answer(403, ErrorXml("RequestTimeTooSkewed"), kDate), absl::StatusCode::kPermissionDenied,
            "the server's clock says 'Fri, 24 May 2013 00:00:00 GMT'; set the clock"},
           {Answer(404, ErrorXml("NoSuchBucket")), absl::StatusCode::kNotFound, "make the bucket"},
           {Answer(412, ErrorXml("PreconditionFailed")), absl::StatusCode::kFailedPrecondition, "412"},
           {Answer(507, ""), absl::StatusCode::kResourceExhausted, "507"},
           {Answer(501, ErrorXml("NotImplemented")), absl::StatusCode::kUnimplemented, "NotImplemented"},
           {Answer(301, ErrorXml("PermanentRedirect"), "x-amz-bucket-region: eu-west-1\r\nLocation: http://evil/\r\n"),
            absl::StatusCode::kFailedPrecondition, "region 'eu-west-1', storage profile 'test' says 'us-east-1'"},
           {Answer(400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"),
            absl::StatusCode::kFailedPrecondition, "region 'eu-west-1'"}}) {
    Serve({test.answer});

    const absl::Status status = Put(*Store(), "contents");

    EXPECT_EQ(status.code(), test.code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.words));
    EXPECT_THAT(server_->requests(), SizeIs(1)) << status;
  }
}

TEST_F(S3Fault, RenewsExpiredCredentialsOnceAndAtOnce) {
  Serve({Answer(400, ErrorXml("ExpiredToken")), Answer(200, "", "ETag: \"e\"\r\n"),
         Answer(400, ErrorXml("ExpiredToken"))});
  const auto store = Store();

  EXPECT_TRUE(Put(*store, "contents").ok());
  EXPECT_EQ(fetch_count_, 2);
  EXPECT_THAT(server_->requests()[1].Header("authorization"), HasSubstr("Credential=key2/"));
  const absl::Status still_expired = Put(*store, "contents");

  EXPECT_EQ(still_expired.code(), absl::StatusCode::kPermissionDenied) << still_expired;
  EXPECT_EQ(fetch_count_, 3);
  EXPECT_THAT(clock_.sleeps, IsEmpty());
}

TEST_F(S3Fault, ContinuesATransferThatIsResetBehindWhatArrived) {
  const std::string contents(3 << 20, 'x');
  std::atomic<int> get_count = 0;
  ServeObject(contents, [&](const ReceivedRequest& request) {
    ScriptedAnswer answer = Range(contents, request);
    if (++get_count > 2) return answer;
    answer.bytes.resize(answer.bytes.size() / 2);
    answer.after = get_count == 1 ? AfterAnswer::kClose : AfterAnswer::kReset;
    return answer;
  });

  const auto read = Read();

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(*read == contents);
  const std::vector<ReceivedRequest> requests = server_->requests();
  EXPECT_EQ(requests[1].Header("range"), absl::StrCat("bytes=0-", contents.size() - 1));
  EXPECT_THAT(requests[2].Header("range"), Not(HasSubstr("bytes=0-")));
}

TEST_F(S3Fault, BodyThatIsCutShortIsNeverASuccess) {
  const std::string contents = "0123456789";
  // Cut on the way; a server that announces less; one that sends more; a range of another place; no range at all.
  const std::vector<FakeHttpServer::Script> lies = {
      [&](const ReceivedRequest& request) {
        ScriptedAnswer answer = Range(contents, request);
        answer.bytes.pop_back();
        answer.after = AfterAnswer::kClose;
        return answer;
      },
      [&](const ReceivedRequest&) { return Answer(206, "01234", "ETag: \"e\"\r\nContent-Range: bytes 0-4/10\r\n"); },
      [&](const ReceivedRequest&) {
        return Answer(206, "0123456789abc", "ETag: \"e\"\r\nContent-Range: bytes 0-9/10\r\n");
      },
      [&](const ReceivedRequest&) {
        return Answer(206, "9876543210", "ETag: \"e\"\r\nContent-Range: bytes 1-10/10\r\n");
      },
      [&](const ReceivedRequest&) { return Answer(206, "9876543210", "ETag: \"e\"\r\n"); },
      [&](const ReceivedRequest&) { return Answer(206, "", "ETag: \"e\"\r\nContent-Range: bytes 0-9/10\r\n"); }};
  for (std::size_t i = 0; i < lies.size(); ++i) {
    std::atomic<int> get_count = 0;
    ServeObject(contents, [&](const ReceivedRequest& request) {
      return ++get_count == 1 ? lies[i](request) : Range(contents, request);
    });
    EXPECT_EQ(*Read(), contents) << "lie " << i;  // as soon as the server is honest

    ServeObject(contents, lies[i]);
    EXPECT_THAT(Read().status().code(), AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kDataLoss))
        << "lie " << i;
  }
}

TEST_F(S3Fault, ServerThatIgnoresTheEtagIsFoundOut) {
  const std::string contents = "0123456789";
  ServeObject(contents, [&](const ReceivedRequest& request) { return Range("abcdefghij", request, "\"other\""); });

  const absl::Status status = Read().status();

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_EQ(server_->requests()[1].Header("if-match"), "\"e\"");
}

TEST_F(S3Fault, ListingThatIsCutShortIsNoListing) {
  const std::string page =
      "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>p/a</Key><Size>1</Size></Contents>"
      "<Contents><Key>p/b</Key><Size>2</Size></Contents></ListBucketResult>";
  // Without a length, the end of the connection looks like the end of the answer.
  Serve({ScriptedAnswer{"HTTP/1.1 200 OK\r\n\r\n" + page.substr(0, page.size() / 2), AfterAnswer::kClose},
         Answer(200, ""), Answer(200, page)});

  const auto objects = Store()->List("", ListScope::kDirect);

  ASSERT_TRUE(objects.ok()) << objects.status();
  EXPECT_THAT(*objects, SizeIs(2));
  EXPECT_THAT(server_->requests(), SizeIs(3));
}

TEST_F(S3Fault, ListingFollowsItsPagesAndLeavesOutWhatIsNoKey) {
  Serve([](const ReceivedRequest& request) {
    const bool is_second = absl::StrContains(request.target, "continuation-token=t%2F1");
    return Answer(200, is_second ? "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>p/z</Key><Size>3"
                                   "</Size></Contents></ListBucketResult>"
                                 : "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t/1"
                                   "</NextContinuationToken><Contents><Key>p/dir/</Key><Size>0</Size></Contents>"
                                   "<Contents><Key>elsewhere</Key><Size>0</Size></Contents>"
                                   "<Contents><Key>p/a&amp;b</Key><Size>9</Size></Contents></ListBucketResult>");
  });

  EXPECT_THAT(Store()->List("", ListScope::kRecursive).value(), testing::ElementsAre(ObjectInfo{"z", 3}));
}

TEST_F(S3Fault, EveryPayloadIsSigned) {
  Serve({Answer(200, "", "ETag: \"e\"\r\n")});

  ASSERT_TRUE(Put(*Store(), "Welcome to Amazon S3.").ok());

  const ReceivedRequest request = server_->requests().front();
  EXPECT_EQ(request.Header("x-amz-content-sha256"), "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
  EXPECT_THAT(request.Header("authorization"), HasSubstr("x-amz-content-sha256"));
  EXPECT_THAT(request.headers, Not(HasSubstr("CANARY")));
}

TEST_F(S3Fault, ServerThatIsNotThereIsUnavailable) {
  Serve({Answer(200, "")});
  const auto store = Store();
  server_.reset();

  const absl::Status status = store->Stat("x").status();

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("at 127.0.0.1:"));
}

}  // namespace
}  // namespace gptvq

// What S3ObjectStore makes of a server that is busy, broken, cut off, or that lies.

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/object_store/s3_object_store.h"
#include "tests/support/fake_http_server.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;
using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;
using testing::SizeIs;

constexpr char kDate[] = "Date: Fri, 24 May 2013 00:00:00 GMT\r\n";

// Sleeps take no time and are remembered.
class ImpatientClock final : public Clock {
 public:
  MonotonicTime MonotonicNow() const override { return now_; }
  WallTime WallNow() const override { return WallTime(std::chrono::hours(24 * 365 * 50)); }
  void Sleep(std::chrono::nanoseconds duration, std::stop_token) override {
    sleeps.push_back(std::chrono::duration_cast<milliseconds>(duration));
    now_ += duration;
  }

  std::vector<milliseconds> sleeps;

 private:
  MonotonicTime now_ = MonotonicTime(std::chrono::hours(1));
};

std::string ErrorXml(const std::string& code) {
  return absl::StrCat("<?xml version=\"1.0\"?><Error><Code>", code, "</Code><Message>words</Message></Error>");
}

class S3Fault : public testing::Test {
 protected:
  // The answers to the requests, in their order; whatever comes later is answered like the last.
  void Serve(std::vector<ScriptedAnswer> answers) {
    Serve([answers, count = std::make_shared<std::size_t>(0)](const ReceivedRequest&) {
      return answers[std::min((*count)++, answers.size() - 1)];
    });
  }
  void Serve(FakeHttpServer::Script script) { server_.emplace(std::move(script)); }

  std::unique_ptr<S3ObjectStore> Store(S3RetryOptions retry = {}) {
    S3Profile profile = S3Profile::Aws("us-east-1");
    profile.name = "test";
    profile.endpoint = {"http", "127.0.0.1", server_->port()};
    profile.addressing = S3Addressing::kPath;
    auto credentials = std::make_unique<S3CredentialSource>(
        [this]() -> absl::StatusOr<S3CredentialSource::Fetched> {
          ++fetch_count_;
          return S3CredentialSource::Fetched{{absl::StrCat("key", fetch_count_), Secret("CANARY"), Secret()}, {}};
        },
        clock_);
    const auto client =
        std::make_shared<S3Client>(profile, std::move(credentials), std::make_shared<S3Retry>(retry), clock_);
    return std::make_unique<S3ObjectStore>(client, S3Place{"bucket", "p"});
  }

  static absl::Status Put(ObjectStore& store, std::string_view contents) {
    auto file = store.Create("x");
    if (absl::Status status = (*file)->Append(AsBytes(contents)); !status.ok()) return status;
    return (*file)->Close();
  }

  // Serves HEAD truthfully for `contents`, and GET as `answer_to_get` does.
  void ServeObject(const std::string& contents, FakeHttpServer::Script answer_to_get) {
    Serve([contents, answer_to_get](const ReceivedRequest& request) {
      if (request.method != "HEAD") return answer_to_get(request);
      return ScriptedAnswer{
          absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", contents.size(), "\r\nETag: \"e\"\r\n\r\n")};
    });
  }

  // An honest answer to a ranged GET.
  static ScriptedAnswer Range(const std::string& contents, const ReceivedRequest& request,
                              const std::string& etag = "\"e\"") {
    const std::string range = request.Header("range");  // "bytes=7-9"
    const std::size_t begin = std::stoul(range.substr(6));
    const std::size_t end = std::stoul(range.substr(range.find('-') + 1)) + 1;
    return Answer(
        206, contents.substr(begin, end - begin),
        absl::StrCat("ETag: ", etag, "\r\nContent-Range: bytes ", begin, "-", end - 1, "/", contents.size(), "\r\n"));
  }

  absl::StatusOr<std::string> Read() {
    auto file = Store()->Open("x");
    if (!file.ok()) return file.status();
    return ReadWholeFile(**file, 100 << 20);
  }

  ImpatientClock clock_;
  int fetch_count_ = 0;
  std::optional<FakeHttpServer> server_;
};

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

// A multipart upload whose completion is answered by `complete`, and the object then asked for by `head`.
FakeHttpServer::Script Multipart(FakeHttpServer::Script complete, ScriptedAnswer head) {
  return [complete, head](const ReceivedRequest& request) {
    if (request.method == "HEAD") return head;
    if (request.method == "DELETE") return Answer(204, "");
    if (absl::StrContains(request.target, "partNumber")) {
      return Answer(200, "", "ETag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\n");
    }
    if (absl::StrContains(request.target, "uploads")) {
      return Answer(200, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>");
    }
    return complete(request);
  };
}

constexpr char kCompleted[] = "<CompleteMultipartUploadResult><ETag>\"e-2\"</ETag></CompleteMultipartUploadResult>";
const std::string& NineMebibytes() {
  static const std::string& bytes = *new std::string(9 << 20, 'x');
  return bytes;
}
ScriptedAnswer HeadOf(std::size_t size, const std::string& etag) {
  return {absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", size, "\r\nETag: ", etag, "\r\n\r\n")};
}

TEST_F(S3Fault, CompletionThatFailsWithStatus200IsAFailure) {
  std::atomic<int> count = 0;
  Serve(Multipart(
      [&](const ReceivedRequest&) {
        return ++count == 1 ? Answer(200, "\n\n" + ErrorXml("InternalError")) : Answer(200, kCompleted);
      },
      HeadOf(9 << 20, "\"e-2\"")));
  EXPECT_TRUE(Put(*Store(), NineMebibytes()).ok());
  EXPECT_EQ(count, 2);

  Serve(Multipart([](const ReceivedRequest&) { return Answer(200, ErrorXml("AccessDenied")); }, Answer(404, "")));
  EXPECT_EQ(Put(*Store(), NineMebibytes()).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(server_->requests().back().method, "DELETE");  // aborted
}

TEST_F(S3Fault, CompletionWhoseAnswerWasLostIsRecognized) {
  // By Python: hashlib.md5(bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e") * 2).hexdigest()
  const std::string etag = "\"5873dd45edd01f09c1ef2e7819369e8e-2\"";
  std::atomic<int> count = 0;
  const auto complete = [&](const ReceivedRequest&) {
    return ++count == 1 ? ScriptedAnswer{"", AfterAnswer::kReset} : Answer(404, ErrorXml("NoSuchUpload"));
  };
  Serve(Multipart(complete, HeadOf(9 << 20, etag)));
  const absl::Status recognized = Put(*Store(), NineMebibytes());
  EXPECT_TRUE(recognized.ok()) << recognized;

  count = 0;
  Serve(Multipart(complete, HeadOf(9 << 20, "\"somebody-elses\"")));
  EXPECT_EQ(Put(*Store(), NineMebibytes()).code(), absl::StatusCode::kUnavailable);
}

TEST_F(S3Fault, UploadThatSomebodyAbortedIsWorthAnotherTry) {
  Serve([](const ReceivedRequest& request) {
    return absl::StrContains(request.target, "partNumber")
               ? Answer(404, ErrorXml("NoSuchUpload"))
               : Answer(200, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>");
  });

  const absl::Status status = Put(*Store(), NineMebibytes());

  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("write it again"));
}

TEST_F(S3Fault, CompletedObjectOfAnotherSizeIsDataLoss) {
  Serve(Multipart([](const ReceivedRequest&) { return Answer(200, kCompleted); }, HeadOf(8 << 20, "\"e-2\"")));

  EXPECT_EQ(Put(*Store(), NineMebibytes()).code(), absl::StatusCode::kDataLoss);
}

TEST_F(S3Fault, FileThatFailedOnceNeverAppears) {
  Serve({Answer(403, ErrorXml("AccessDenied"))});
  auto file = Store()->Create("x");
  const absl::Status failed = (*file)->Append(AsBytes(NineMebibytes()));

  EXPECT_FALSE(failed.ok());
  EXPECT_EQ((*file)->Append(AsBytes("y")), failed);
  EXPECT_EQ((*file)->Close(), failed);
}

// A bucket with at most one object, which knows conditions; `before_put` happens between look-up and PUT.
class OneObject {
 public:
  ScriptedAnswer operator()(const ReceivedRequest& request) {
    const std::string etag = "ETag: \"e\"\r\n";
    if (request.method == "PUT") {
      ++puts;
      if (before_put) before_put();
      conditions.push_back(request.Header("if-none-match"));
      if (!conditions.back().empty() && unsupported) return Answer(501, ErrorXml("NotImplemented"));
      if (!conditions.back().empty() && contents) return Answer(refusal, ErrorXml(refusal_code));
      contents = request.body;
      return lose_answers-- > 0 ? Answer(500, ErrorXml("InternalError")) : Answer(200, "", etag);
    }
    if (!contents) return Answer(404, request.method == "HEAD" ? "" : ErrorXml("NoSuchKey"));
    if (request.method == "HEAD") {
      return ScriptedAnswer{
          absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", contents->size(), "\r\n", etag, "\r\n")};
    }
    return Answer(206, *contents,
                  absl::StrCat(etag, "Content-Range: bytes 0-", contents->size() - 1, "/", contents->size(), "\r\n"));
  }

  std::optional<std::string> contents;
  std::vector<std::string> conditions;
  std::function<void()> before_put;
  int refusal = 412;
  std::string refusal_code = "PreconditionFailed";
  bool unsupported = false;
  int lose_answers = 0;
  int puts = 0;
};

TEST_F(S3Fault, NewObjectIsPutUnderTheConditionThatNoneIsThere) {
  OneObject object;
  Serve([&](const ReceivedRequest& request) { return object(request); });

  ASSERT_TRUE(Store()->PutNew("x", AsBytes("ours")).ok());

  EXPECT_EQ(object.contents, "ours");
  EXPECT_THAT(object.conditions, testing::ElementsAre("*"));
}

TEST_F(S3Fault, RefusedConditionIsReadBackAndOnlyOtherBytesAreAConflict) {
  for (const auto& [status, code] : {std::pair(412, "PreconditionFailed"), {409, ""}, {412, ""}}) {
    for (const std::string there : {"ours", "theirs"}) {
      OneObject object;
      object.refusal = status;
      object.refusal_code = code;
      object.before_put = [&] { object.contents = there; };
      Serve([&](const ReceivedRequest& request) { return object(request); });

      const absl::Status put = Store()->PutNew("x", AsBytes("ours"));

      EXPECT_EQ(put.code(), there == "ours" ? absl::StatusCode::kOk : absl::StatusCode::kAlreadyExists) << put;
      EXPECT_EQ(object.contents, there);
    }
  }
}

TEST_F(S3Fault, RefusedConditionThatHoldsIsWorthAnotherTry) {
  OneObject object;
  Serve([&](const ReceivedRequest& request) {
    return request.method == "PUT" ? Answer(412, ErrorXml("PreconditionFailed")) : object(request);
  });

  EXPECT_EQ(Store()->PutNew("x", AsBytes("ours")).code(), absl::StatusCode::kUnavailable);
}

TEST_F(S3Fault, ConflictWithAnotherRequestIsTriedAgain) {
  OneObject object;
  int conflicts = 2;
  Serve([&](const ReceivedRequest& request) {
    if (request.method == "PUT" && conflicts-- > 0) return Answer(409, ErrorXml("ConditionalRequestConflict"));
    return object(request);
  });

  EXPECT_TRUE(Store()->PutNew("x", AsBytes("ours")).ok());
  EXPECT_EQ(object.contents, "ours");
}

TEST_F(S3Fault, NewObjectWhoseAnswerWasLostIsRecognized) {
  OneObject object;
  object.lose_answers = 1;
  Serve([&](const ReceivedRequest& request) { return object(request); });

  EXPECT_TRUE(Store()->PutNew("x", AsBytes("ours")).ok());
  EXPECT_EQ(object.puts, 2);
}

TEST_F(S3Fault, ServerThatKnowsNoConditionsIsAskedWhatIsThere) {
  OneObject object;
  object.unsupported = true;
  Serve([&](const ReceivedRequest& request) { return object(request); });

  EXPECT_TRUE(Store()->PutNew("x", AsBytes("ours")).ok());
  EXPECT_TRUE(Store()->PutNew("x", AsBytes("ours")).ok());
  EXPECT_EQ(Store()->PutNew("x", AsBytes("theirs")).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(object.contents, "ours");
}

TEST_F(S3Fault, EveryPayloadIsSigned) {
  Serve({Answer(200, "", "ETag: \"e\"\r\n")});

  ASSERT_TRUE(Put(*Store(), "Welcome to Amazon S3.").ok());

  const ReceivedRequest request = server_->requests().front();
  EXPECT_EQ(request.Header("x-amz-content-sha256"), "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
  EXPECT_THAT(request.Header("authorization"), HasSubstr("x-amz-content-sha256"));
  EXPECT_THAT(request.headers, Not(HasSubstr("CANARY")));
}

TEST_F(S3Fault, AbandonedIsWhatRestedByTheServersClock) {
  std::vector<std::string> aborted;
  Serve([&](const ReceivedRequest& request) {
    const auto upload = [](const std::string& key, const std::string& time) {
      return absl::StrCat("<Upload><Key>", key, "</Key><UploadId>", key.back() == '1' ? "one" : "two",
                          "</UploadId><Initiated>", time, "</Initiated></Upload>");
    };
    if (request.method == "DELETE") {
      aborted.push_back(request.target);
      return Answer(204, "");
    }
    if (absl::StrContains(request.target, "uploads")) {
      return Answer(200,
                    absl::StrCat("<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>",
                                 upload("p/old1", "2013-05-22T00:00:00.000Z"),
                                 upload("p/alive", "2013-05-20T00:00:00Z"), upload("p/new1", "2013-05-23T12:00:00Z"),
                                 upload("p/d/old1", "2013-05-20T00:00:00Z"), "</ListMultipartUploadsResult>"),
                    kDate);
    }
    const bool is_alive = absl::StrContains(request.target, "alive");
    return Answer(200, absl::StrCat("<ListPartsResult><IsTruncated>false</IsTruncated><Part><LastModified>",
                                    is_alive ? "2013-05-23T23:00:00Z" : "2013-05-22T23:00:00Z",
                                    "</LastModified></Part></ListPartsResult>"));
  });

  ASSERT_TRUE(Store()->RemoveAbandonedWrites(ListScope::kDirect).ok());

  EXPECT_THAT(aborted, testing::ElementsAre("/bucket/p/old1?uploadId=one"));
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

// What S3ObjectStore makes of a server that fails or lies while an object is written: in parts, under a condition, or abandoned.

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/platform/object_store/s3_fault_fixture.h"

namespace gptvq {
namespace {

using testing::HasSubstr;

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

}  // namespace
}  // namespace gptvq

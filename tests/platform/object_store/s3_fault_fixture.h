#ifndef GPTVQ_TESTS_PLATFORM_OBJECT_STORE_S3_FAULT_FIXTURE_H_
#define GPTVQ_TESTS_PLATFORM_OBJECT_STORE_S3_FAULT_FIXTURE_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "platform/clock.h"
#include "platform/object_store/s3_object_store.h"
#include "tests/support/fake_http_server.h"

namespace gptvq {

// What a server says of its time.
inline constexpr char kDate[] = "Date: Fri, 24 May 2013 00:00:00 GMT\r\n";

// Sleeps take no time and are remembered.
class ImpatientClock final : public Clock {
 public:
  MonotonicTime MonotonicNow() const override { return now_; }
  WallTime WallNow() const override { return WallTime(std::chrono::hours(24 * 365 * 50)); }
  void Sleep(std::chrono::nanoseconds duration, std::stop_token) override {
    sleeps.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(duration));
    now_ += duration;
  }

  std::vector<std::chrono::milliseconds> sleeps;

 private:
  MonotonicTime now_ = MonotonicTime(std::chrono::hours(1));
};

inline std::string ErrorXml(const std::string& code) {
  return absl::StrCat("<?xml version=\"1.0\"?><Error><Code>", code, "</Code><Message>words</Message></Error>");
}

// An S3ObjectStore in front of a server that says what the test tells it to.
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

}  // namespace gptvq

#endif  // GPTVQ_TESTS_PLATFORM_OBJECT_STORE_S3_FAULT_FIXTURE_H_

#include "platform/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_http_server.h"

namespace gptvq {
namespace {

using testing::SizeIs;

struct AddressCase {
  std::string address;
  bool is_allowed;
};

TEST(HttpClient, ConnectsToNoLinkLocalAddress) {
  for (const AddressCase& test : std::vector<AddressCase>{{"169.254.169.254", false},
                                                          {"169.254.0.1", false},
                                                          {"169.253.0.1", true},
                                                          {"127.0.0.1", true},
                                                          {"10.1.2.3", true}}) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    ASSERT_EQ(inet_pton(AF_INET, test.address.c_str(), &address.sin_addr), 1);
    EXPECT_EQ(MayConnectTo(reinterpret_cast<const sockaddr&>(address)), test.is_allowed) << test.address;
  }
  for (const AddressCase& test : std::vector<AddressCase>{{"fe80::1", false},
                                                          {"::ffff:169.254.169.254", false},
                                                          {"::ffff:10.1.2.3", true},
                                                          {"::1", true},
                                                          {"2001:db8::1", true}}) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    ASSERT_EQ(inet_pton(AF_INET6, test.address.c_str(), &address.sin6_addr), 1);
    EXPECT_EQ(MayConnectTo(reinterpret_cast<const sockaddr&>(address)), test.is_allowed) << test.address;
  }
}

TEST(HttpClient, FollowsNoRedirect) {
  const FakeHttpServer server([](const ReceivedRequest& request) {
    return Answer(307, "", absl::StrCat("Location: http://", request.Header("host"), "/elsewhere\r\n"));
  });
  const HttpClient client({});
  HttpResponse response;

  const absl::Status status =
      client.Send({.method = "GET", .url = absl::StrCat("http://127.0.0.1:", server.port(), "/")}, response);

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(response.status, 307);
  EXPECT_THAT(server.requests(), SizeIs(1));
}

TEST(HttpClient, KeepsNoMoreOfAnAnswerThanItsLimit) {
  const FakeHttpServer server([](const ReceivedRequest&) { return Answer(200, std::string(1001, 'x')); });
  const HttpClient client({.ca_file = "", .max_body_bytes = 1000});
  HttpResponse response;

  const absl::Status status =
      client.Send({.method = "GET", .url = absl::StrCat("http://127.0.0.1:", server.port(), "/")}, response);

  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
}

TEST(HttpClient, SendsBodyAndHeadersAndReadsThoseOfTheAnswer) {
  const FakeHttpServer server([](const ReceivedRequest&) { return Answer(200, "", "X-Name:  value \r\n"); });
  const HttpClient client({});
  const std::string body(100'000, 'b');
  for (const char* method : {"PUT", "POST"}) {
    HttpResponse response;
    HttpRequest request = {.method = method, .url = absl::StrCat("http://127.0.0.1:", server.port(), "/a%20b?c=d")};
    request.headers = {{"X-Mine", "1"}};
    request.body = absl::MakeConstSpan(reinterpret_cast<const std::byte*>(body.data()), body.size());

    ASSERT_TRUE(client.Send(request, response).ok());

    const ReceivedRequest received = server.requests().back();
    EXPECT_EQ(received.method, method);
    EXPECT_EQ(received.target, "/a%20b?c=d");
    EXPECT_EQ(received.Header("x-mine"), "1");
    EXPECT_EQ(received.body, body);
    EXPECT_EQ(response.Header("x-name"), "value");
  }
}

}  // namespace
}  // namespace gptvq

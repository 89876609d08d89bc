#include "platform/metrics_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::HasSubstr;

// The answer of an HTTP server on loopback to one request, such as "GET /metrics".
std::string Ask(std::uint16_t port, const std::string& what) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::string request = what + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;) answer.append(buffer, n);
  close(fd);
  return answer;
}

TEST(MetricsServer, ServesTheRegistryOnAFreePort) {
  MetricsRegistry registry("worker");
  registry.AddGauge("slots", "Slots.").Set(1);
  auto server = MetricsServer::Start("localhost", 0, registry);
  ASSERT_TRUE(server.ok()) << server.status();

  const std::string answer = Ask((*server)->port(), "GET /metrics");

  EXPECT_THAT(answer, HasSubstr("200 OK"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4"));
  EXPECT_THAT(answer, HasSubstr("gptvq_worker_slots 1\n"));
}

TEST(MetricsServer, AsksForEveryValueAgain) {
  MetricsRegistry registry("worker");
  Gauge& slots = registry.AddGauge("slots", "Slots.");
  auto server = MetricsServer::Start("127.0.0.1", 0, registry);
  ASSERT_TRUE(server.ok()) << server.status();

  slots.Set(1);
  EXPECT_THAT(Ask((*server)->port(), "GET /metrics"), HasSubstr("gptvq_worker_slots 1\n"));
  slots.Set(2);
  EXPECT_THAT(Ask((*server)->port(), "GET /metrics"), HasSubstr("gptvq_worker_slots 2\n"));
}

// Libraries with large thread-local tables, BLAS above all, take them out of the stack of every thread: what serves the
// metrics must have one of the full size.
TEST(MetricsServer, ServesFromAThreadWithAFullStack) {
  MetricsRegistry registry("worker");
  registry.AddGaugeReader("stack_bytes", "Stack of the thread that asks.", [] {
    pthread_attr_t attributes;
    std::size_t bytes = 0;
    EXPECT_EQ(pthread_getattr_np(pthread_self(), &attributes), 0);
    EXPECT_EQ(pthread_attr_getstacksize(&attributes, &bytes), 0);
    pthread_attr_destroy(&attributes);
    return bytes >= (std::size_t{1} << 20) ? 1.0 : 0.0;
  });
  auto server = MetricsServer::Start("127.0.0.1", 0, registry);
  ASSERT_TRUE(server.ok()) << server.status();

  EXPECT_THAT(Ask((*server)->port(), "GET /metrics"), HasSubstr("gptvq_worker_stack_bytes 1\n"));
}

TEST(MetricsServer, SaysWhatItAnswersAndWhere) {
  const MetricsRegistry registry("worker");
  auto server = MetricsServer::Start("127.0.0.1", 0, registry);
  ASSERT_TRUE(server.ok()) << server.status();

  const std::string elsewhere = Ask((*server)->port(), "GET /");
  EXPECT_THAT(elsewhere, HasSubstr("404 Not Found"));
  EXPECT_THAT(elsewhere, HasSubstr("/metrics"));
  EXPECT_THAT(Ask((*server)->port(), "DELETE /metrics"), HasSubstr("405 Method Not Allowed"));
}

TEST(MetricsServer, PortInUseIsUnavailableAndNamed) {
  const MetricsRegistry registry("worker");
  auto first = MetricsServer::Start("127.0.0.1", 0, registry);
  ASSERT_TRUE(first.ok()) << first.status();

  auto second = MetricsServer::Start("127.0.0.1", (*first)->port(), registry);

  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(std::to_string((*first)->port())));
}

TEST(MetricsServer, HostThatIsNoneIsUnavailableAndNamed) {
  const MetricsRegistry registry("worker");

  auto server = MetricsServer::Start("not an address", 0, registry);

  EXPECT_EQ(server.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("not an address"));
}

}  // namespace
}  // namespace gptvq

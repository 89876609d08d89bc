#include "tests/support/fake_http_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/check.h"

namespace gptvq {
namespace {

// The next bytes of a connection; empty when it has ended or the server ends.
std::string Receive(int connection, int stop) {
  pollfd waited[2] = {{connection, POLLIN, 0}, {stop, POLLIN, 0}};
  if (poll(waited, 2, -1) < 0 || waited[1].revents != 0) return "";
  std::string bytes(64 << 10, '\0');
  const ssize_t count = recv(connection, bytes.data(), bytes.size(), 0);
  bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return bytes;
}

// The request at the start of `buffer`, which it is taken from; nullopt when the connection ends before.
std::optional<ReceivedRequest> NextRequest(int connection, int stop, std::string& buffer) {
  ReceivedRequest request;
  std::size_t head_end = std::string::npos;
  std::size_t body_bytes = 0;
  while (true) {
    if (head_end == std::string::npos && (head_end = buffer.find("\r\n\r\n")) != std::string::npos) {
      request.headers = buffer.substr(0, head_end + 2);
      const std::vector<std::string> words = absl::StrSplit(request.headers.substr(0, request.headers.find('\r')), ' ');
      request.method = words.at(0);
      request.target = words.at(1);
      const std::string length = request.Header("content-length");
      body_bytes = length.empty() ? 0 : std::stoul(length);
    }
    if (head_end != std::string::npos && buffer.size() >= head_end + 4 + body_bytes) break;
    const std::string bytes = Receive(connection, stop);
    if (bytes.empty()) return std::nullopt;
    buffer += bytes;
  }
  request.body = buffer.substr(head_end + 4, body_bytes);
  buffer.erase(0, head_end + 4 + body_bytes);
  return request;
}

}  // namespace

std::string ReceivedRequest::Header(std::string_view name) const {
  for (absl::string_view line : absl::StrSplit(headers, "\r\n")) {
    const std::pair<absl::string_view, absl::string_view> field = absl::StrSplit(line, absl::MaxSplits(": ", 1));
    if (absl::EqualsIgnoreCase(field.first, absl::string_view(name.data(), name.size()))) {
      return std::string(field.second);
    }
  }
  return "";
}

ScriptedAnswer Answer(int status, std::string_view body, std::string_view headers) {
  return {absl::StrCat("HTTP/1.1 ", status, " Scripted\r\nContent-Length: ", body.size(), "\r\n", std::string(headers),
                       "\r\n", std::string(body))};
}

FakeHttpServer::FakeHttpServer(Script script) : script_(std::move(script)) {
  GPTVQ_CHECK(pipe(stop_pipe_) == 0);
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  GPTVQ_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  GPTVQ_CHECK(listen(listener_, 64) == 0);
  socklen_t length = sizeof(address);
  GPTVQ_CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

FakeHttpServer::~FakeHttpServer() {
  close(stop_pipe_[1]);
  acceptor_.join();
  for (std::thread& connection : connections_) connection.join();
  close(listener_);
  close(stop_pipe_[0]);
}

std::vector<ReceivedRequest> FakeHttpServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void FakeHttpServer::Accept() {
  while (true) {
    pollfd waited[2] = {{listener_, POLLIN, 0}, {stop_pipe_[0], POLLIN, 0}};
    if (poll(waited, 2, -1) < 0 || waited[1].revents != 0) return;
    const int connection = accept(listener_, nullptr, nullptr);
    if (connection >= 0) connections_.emplace_back([this, connection] { Serve(connection); });
  }
}

void FakeHttpServer::Serve(int connection) {
  std::string buffer;
  while (const std::optional<ReceivedRequest> request = NextRequest(connection, stop_pipe_[0], buffer)) {
    ScriptedAnswer answer;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(*request);
      answer = script_(*request);
    }
    std::string_view left = answer.bytes;
    while (!left.empty()) {
      const ssize_t count = send(connection, left.data(), left.size(), MSG_NOSIGNAL);
      if (count <= 0) break;
      left.remove_prefix(static_cast<std::size_t>(count));
    }
    if (answer.after == AfterAnswer::kReset) {
      const linger at_once = {.l_onoff = 1, .l_linger = 0};
      setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    if (answer.after != AfterAnswer::kKeepOpen) break;
  }
  close(connection);
}

}  // namespace gptvq

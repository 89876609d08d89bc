#ifndef GPTVQ_TESTS_SUPPORT_FAKE_HTTP_SERVER_H_
#define GPTVQ_TESTS_SUPPORT_FAKE_HTTP_SERVER_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace gptvq {

struct ReceivedRequest {
  std::string method;
  std::string target;   // "/bucket/key?uploads="
  std::string headers;  // as received
  std::string body;

  // The value of a header; empty if there is none. Names are compared without regard to case.
  std::string Header(std::string_view name) const;
};

enum class AfterAnswer {
  kKeepOpen,
  kClose,
  kReset,  // RST: what a crashed server or a firewall does
};

// Bytes for the wire, right or wrong.
struct ScriptedAnswer {
  std::string bytes;
  AfterAnswer after = AfterAnswer::kKeepOpen;
};

// "HTTP/1.1 <status> ..." with Content-Length and `headers` ("ETag: \"x\"\r\n").
ScriptedAnswer Answer(int status, std::string_view body, std::string_view headers = "");

// A server on a port of its own on loopback that says exactly what a test wants, to see what a client makes of it. `script` is
// called for each request, by one thread at a time, in the order of arrival. Thread-safe.
class FakeHttpServer {
 public:
  using Script = std::function<ScriptedAnswer(const ReceivedRequest&)>;

  explicit FakeHttpServer(Script script);
  ~FakeHttpServer();

  std::uint16_t port() const { return port_; }
  // What has arrived so far.
  std::vector<ReceivedRequest> requests() const;

 private:
  void Accept();
  void Serve(int connection);

  const Script script_;
  int listener_ = -1;
  int stop_pipe_[2] = {-1, -1};  // readable when it is time to end
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::vector<ReceivedRequest> requests_;
  std::vector<std::thread> connections_;
  std::thread acceptor_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_FAKE_HTTP_SERVER_H_

#ifndef GPTVQ_PLATFORM_HTTP_CLIENT_H_
#define GPTVQ_PLATFORM_HTTP_CLIENT_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

struct sockaddr;

namespace gptvq {

struct HttpHeader {
  std::string name;
  std::string value;
};

// Where a server is, without a path: "https://rgw.example.org:8443".
struct HttpOrigin {
  std::string scheme;      // "https" or "http"
  std::string host;        // a name or an address; IPv6 in brackets
  std::uint16_t port = 0;  // 0: the scheme's own

  // "rgw.example.org:8443": what the Host header says.
  std::string authority() const;
  // True for this machine: localhost, 127.0.0.0/8, ::1.
  bool is_loopback() const;
  // True when `host` is a number and not a name.
  bool is_address() const;
};

// Errors: InvalidArgument for anything but scheme, host and port: a user, a path, a query, another scheme.
absl::StatusOr<HttpOrigin> ParseHttpOrigin(std::string_view text);

struct HttpRequest {
  std::string method;
  std::string url;
  std::vector<HttpHeader> headers = {};
  absl::Span<const std::byte> body = {};
  // Where the body of an answer 200 or 206 goes; empty: into HttpResponse::body.
  absl::Span<std::byte> body_out = {};
  // How long less than 1 KiB a second may arrive or leave before the request is given up.
  std::chrono::seconds silence{30};
};

struct HttpResponse {
  int status = 0;                   // 0: no answer came
  std::vector<HttpHeader> headers;  // names in lower case, values trimmed
  std::string body;
  std::size_t body_out_bytes = 0;  // how much of HttpRequest::body_out was filled

  // The value of a header, by its name in lower case; empty if there is none.
  std::string_view Header(std::string_view name) const;
};

struct HttpClientOptions {
  std::string ca_file;  // PEM file of who may sign servers' certificates; empty: the system's
  std::chrono::seconds connect_timeout{10};
  std::size_t max_body_bytes = 8 << 20;  // of an answer that is kept in HttpResponse::body
};

// False for link-local addresses: there lives a cloud's metadata service, which hands credentials to whoever asks.
bool MayConnectTo(const sockaddr& address);

// HTTP/1.1 over libcurl, for servers that the operator named. Certificates are always verified; redirects are not
// followed, for they would lead to a place that nobody named; proxies of the environment are not used; what MayConnectTo
// forbids is not connected to. Connections are kept and used again. Thread-safe.
class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options);
  ~HttpClient();

  // One exchange, never repeated. OK means that a whole answer came, whatever its status: as many bytes as its length
  // announced. `response_out` is filled as far as it came in any case.
  // Errors: Unavailable (no connection, silence, an answer that broke off); DataLoss (more bytes than body_out or
  // max_body_bytes takes); FailedPrecondition (the server's certificate is not accepted, or the CA file is unusable).
  absl::Status Send(const HttpRequest& request, HttpResponse& response_out) const;

 private:
  class Handle;
  class Exchange;

  std::unique_ptr<Handle> TakeHandle() const;
  void KeepHandle(std::unique_ptr<Handle> handle) const;

  const HttpClientOptions options_;
  struct IdleHandles;
  const std::unique_ptr<IdleHandles> idle_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_HTTP_CLIENT_H_

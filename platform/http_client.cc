#include "platform/http_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace gptvq {
namespace {

constexpr std::size_t kMaxIdleHandles = 16;  // more threads than that may send; their connections are not kept
constexpr long kSlowBytesPerSecond = 1024;   // less than that counts as silence
constexpr long kBufferBytes = 256 << 10;     // per connection; curl's 16 KiB cost a third of the speed on loopback

// Writing to a connection that the peer has closed raises SIGPIPE on the writing thread. It is blocked and taken away
// here, so that neither the program's handlers nor other threads notice.
class SigpipeBlocked {
 public:
  SigpipeBlocked() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &previous_);
  }
  ~SigpipeBlocked() {
    if (sigismember(&previous_, SIGPIPE) == 1) return;
    const timespec at_once{};
    while (sigtimedwait(&pipe_, nullptr, &at_once) == SIGPIPE) continue;
    pthread_sigmask(SIG_SETMASK, &previous_, nullptr);
  }
  SigpipeBlocked(const SigpipeBlocked&) = delete;
  SigpipeBlocked& operator=(const SigpipeBlocked&) = delete;

 private:
  sigset_t pipe_;
  sigset_t previous_;
};

curl_socket_t OpenSocket(void*, curlsocktype, curl_sockaddr* address) {
  if (!MayConnectTo(address->addr)) return CURL_SOCKET_BAD;
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

absl::Status StatusOf(CURLcode code, const char* details) {
  const std::string message = details[0] == '\0' ? std::string(curl_easy_strerror(code)) : std::string(details);
  switch (code) {
    case CURLE_OK: return absl::OkStatus();
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return absl::FailedPreconditionError(absl::StrCat("the server's certificate is not accepted: ", message));
    default: return absl::UnavailableError(message);
  }
}

}  // namespace

bool MayConnectTo(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    in_addr ipv4;
    std::memcpy(&ipv4, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, sizeof(ipv4));
    return (ntohl(ipv4.s_addr) >> 16) != 0xa9fe;  // 169.254.0.0/16
  }
  if (address.sa_family != AF_INET6) return true;
  in6_addr ipv6;
  std::memcpy(&ipv6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, sizeof(ipv6));
  const bool is_mapped_link_local = IN6_IS_ADDR_V4MAPPED(&ipv6) && ipv6.s6_addr[12] == 0xa9 && ipv6.s6_addr[13] == 0xfe;
  return !IN6_IS_ADDR_LINKLOCAL(&ipv6) && !is_mapped_link_local;
}

std::string HttpOrigin::authority() const { return port == 0 ? host : absl::StrCat(host, ":", port); }

bool HttpOrigin::is_loopback() const {
  in_addr ipv4;
  if (inet_pton(AF_INET, host.c_str(), &ipv4) == 1) return (ntohl(ipv4.s_addr) >> 24) == 127;
  return host == "localhost" || host == "[::1]";
}

bool HttpOrigin::is_address() const {
  in_addr ipv4;
  return host.starts_with('[') || inet_pton(AF_INET, host.c_str(), &ipv4) == 1;
}

absl::StatusOr<HttpOrigin> ParseHttpOrigin(std::string_view text) {
  const absl::Status refusal =
      absl::InvalidArgumentError("must be https://HOST or https://HOST:PORT, with nothing behind it");
  HttpOrigin origin;
  const std::size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) return refusal;
  origin.scheme = std::string(text.substr(0, scheme_end));
  if (origin.scheme != "https" && origin.scheme != "http") return refusal;
  std::string_view authority = text.substr(scheme_end + 3);
  if (authority.ends_with('/')) authority.remove_suffix(1);

  const std::size_t bracket = authority.rfind(']');
  const std::size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  origin.host = std::string(authority.substr(0, has_port ? colon : authority.size()));
  if (has_port) {
    std::uint32_t port = 0;
    const std::string_view digits = authority.substr(colon + 1);
    if (!absl::SimpleAtoi(absl::string_view(digits.data(), digits.size()), &port) || port == 0 || port > 65535) {
      return refusal;
    }
    const bool is_default = port == (origin.scheme == "https" ? 443u : 80u);
    origin.port = is_default ? 0 : static_cast<std::uint16_t>(port);
  }
  if (origin.host.starts_with('[')) {
    in6_addr ipv6;
    if (inet_pton(AF_INET6, origin.host.substr(1, origin.host.size() - 2).c_str(), &ipv6) != 1) return refusal;
    return origin;
  }
  const bool is_name = !origin.host.empty() && origin.host.size() <= 253 &&
                       std::all_of(origin.host.begin(), origin.host.end(),
                                   [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '.'; });
  if (!is_name) return refusal;
  return origin;
}

std::string_view HttpResponse::Header(std::string_view name) const {
  const auto it = std::find_if(headers.begin(), headers.end(), [name](const auto& h) { return h.name == name; });
  return it == headers.end() ? std::string_view() : std::string_view(it->value);
}

// A handle of curl: the settings of one request, and the connections that earlier ones left open.
class HttpClient::Handle {
 public:
  Handle() : curl_(curl_easy_init()) { GPTVQ_CHECK(curl_ != nullptr); }
  ~Handle() { curl_easy_cleanup(curl_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  CURL* get() const { return curl_; }

 private:
  CURL* const curl_;
};

struct HttpClient::IdleHandles {
  std::mutex mutex;
  std::vector<std::unique_ptr<Handle>> handles;  // the last one used is the next one taken: its connections live
};

// One request on its way through a handle: what curl calls back.
class HttpClient::Exchange {
 public:
  Exchange(CURL* curl, const HttpRequest& request, std::size_t max_body_bytes, HttpResponse& response_out)
      : curl_(curl), request_(request), max_body_bytes_(max_body_bytes), response_(response_out) {}
  ~Exchange() {
    curl_slist_free_all(header_list_);
    curl_easy_reset(curl_);  // nothing of this request stays but its connection
  }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  absl::Status Run(const HttpClientOptions& options) {
    SetConnection(options);
    SetRequest();
    response_ = {};
    const CURLcode code = curl_easy_perform(curl_);
    long status = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    response_.status = static_cast<int>(status);
    if (is_too_long_) return absl::DataLossError("the answer is longer than what was asked for");
    return StatusOf(code, error_.data());
  }

 private:
  template <typename T>
  void Set(CURLoption option, T value) {
    GPTVQ_CHECK(curl_easy_setopt(curl_, option, value) == CURLE_OK);
  }

  void SetConnection(const HttpClientOptions& options) {
    Set(CURLOPT_ERRORBUFFER, error_.data());
    Set(CURLOPT_NOSIGNAL, 1L);
    Set(CURLOPT_PROTOCOLS_STR, "http,https");
    Set(CURLOPT_FOLLOWLOCATION, 0L);
    Set(CURLOPT_PROXY, "");
    Set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    Set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    Set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!options.ca_file.empty()) Set(CURLOPT_CAINFO, options.ca_file.c_str());
    Set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(options.connect_timeout.count()));
    Set(CURLOPT_LOW_SPEED_LIMIT, kSlowBytesPerSecond);
    Set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(request_.silence.count()));
    Set(CURLOPT_TCP_KEEPALIVE, 1L);
    Set(CURLOPT_BUFFERSIZE, kBufferBytes);
    Set(CURLOPT_UPLOAD_BUFFERSIZE, kBufferBytes);
    Set(CURLOPT_OPENSOCKETFUNCTION, &OpenSocket);
  }

  void SetRequest() {
    Set(CURLOPT_URL, request_.url.c_str());
    Set(CURLOPT_PATH_AS_IS, 1L);
    if (request_.method == "HEAD") {
      Set(CURLOPT_NOBODY, 1L);
    } else if (request_.method != "GET" && request_.method != "DELETE") {
      Set(CURLOPT_POST, 1L);
      Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
      Set(CURLOPT_POSTFIELDS, reinterpret_cast<const char*>(request_.body.data()));
      if (request_.body.empty()) Set(CURLOPT_POSTFIELDS, "");
      AddHeader("Expect:");  // an answer 100 that never comes would cost a second a request
    }
    if (request_.method != "HEAD") Set(CURLOPT_CUSTOMREQUEST, request_.method.c_str());
    for (const HttpHeader& header : request_.headers) AddHeader(absl::StrCat(header.name, ": ", header.value));
    Set(CURLOPT_HTTPHEADER, header_list_);
    Set(CURLOPT_HEADERFUNCTION, &Exchange::OnHeader);
    Set(CURLOPT_HEADERDATA, this);
    Set(CURLOPT_WRITEFUNCTION, &Exchange::OnBody);
    Set(CURLOPT_WRITEDATA, this);
  }

  void AddHeader(const std::string& line) {
    header_list_ = curl_slist_append(header_list_, line.c_str());
    GPTVQ_CHECK(header_list_ != nullptr);
  }

  static std::size_t OnHeader(char* data, std::size_t, std::size_t size, void* self) {
    std::vector<HttpHeader>& headers = static_cast<Exchange*>(self)->response_.headers;
    const absl::string_view line = absl::StripAsciiWhitespace(absl::string_view(data, size));
    if (line.substr(0, 5) == "HTTP/") headers.clear();  // the answer proper behind a "100 Continue"
    const std::size_t colon = line.find(':');
    if (colon == absl::string_view::npos) return size;
    headers.push_back({absl::AsciiStrToLower(line.substr(0, colon)),
                       std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)))});
    return size;
  }

  static std::size_t OnBody(char* data, std::size_t, std::size_t size, void* self) {
    return static_cast<Exchange*>(self)->Take({data, size}) ? size : 0;
  }

  bool Take(std::string_view piece) {
    long status = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    const bool goes_out = !request_.body_out.empty() && (status == 200 || status == 206);
    const std::size_t room =
        goes_out ? request_.body_out.size() - response_.body_out_bytes : max_body_bytes_ - response_.body.size();
    if (piece.size() > room) {
      is_too_long_ = true;
      return false;
    }
    if (!goes_out) {
      response_.body.append(piece);
      return true;
    }
    std::memcpy(request_.body_out.data() + response_.body_out_bytes, piece.data(), piece.size());
    response_.body_out_bytes += piece.size();
    return true;
  }

  CURL* const curl_;
  const HttpRequest& request_;
  const std::size_t max_body_bytes_;
  HttpResponse& response_;
  curl_slist* header_list_ = nullptr;
  std::array<char, CURL_ERROR_SIZE> error_{};
  bool is_too_long_ = false;
};

HttpClient::HttpClient(HttpClientOptions options)
    : options_(std::move(options)), idle_(std::make_unique<IdleHandles>()) {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);  // once in a process, says curl
  GPTVQ_CHECK(initialized == CURLE_OK);
}

HttpClient::~HttpClient() = default;

absl::Status HttpClient::Send(const HttpRequest& request, HttpResponse& response_out) const {
  const SigpipeBlocked sigpipe_blocked;
  std::unique_ptr<Handle> handle = TakeHandle();
  const absl::Status status = Exchange(handle->get(), request, options_.max_body_bytes, response_out).Run(options_);
  KeepHandle(std::move(handle));
  return status;
}

std::unique_ptr<HttpClient::Handle> HttpClient::TakeHandle() const {
  const std::lock_guard lock(idle_->mutex);
  if (idle_->handles.empty()) return std::make_unique<Handle>();
  std::unique_ptr<Handle> handle = std::move(idle_->handles.back());
  idle_->handles.pop_back();
  return handle;
}

void HttpClient::KeepHandle(std::unique_ptr<Handle> handle) const {
  const std::lock_guard lock(idle_->mutex);
  if (idle_->handles.size() < kMaxIdleHandles) idle_->handles.push_back(std::move(handle));
}

}  // namespace gptvq

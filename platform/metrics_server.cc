#include "platform/metrics_server.h"

#include <microhttpd.h>
#include <netdb.h>
#include <sys/socket.h>

#include <string>

#include "absl/strings/str_cat.h"

// prometheus-cpp has a server of its own, CivetWeb, whose threads have 100 KiB of stack. The thread-local tables of
// OpenBLAS and the CUDA runtime come out of the same 100 KiB and leave too little. This server's thread has a full stack.
namespace gptvq {
namespace {

constexpr unsigned kConnectionLimit = 32;  // Prometheus holds one; the rest is for people
constexpr unsigned kConnectionTimeoutSeconds = 10;
constexpr char kTextFormat[] = "text/plain; version=0.0.4; charset=utf-8";

MHD_Result Answer(MHD_Connection* connection, unsigned status, std::string body, const char* content_type) {
  MHD_Response* response = MHD_create_response_from_buffer(body.size(), body.data(), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
  const MHD_Result queued = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return queued;
}

MHD_Result HandleRequest(void* context, MHD_Connection* connection, const char* path, const char* method,
                         const char* /*version*/, const char* /*upload*/, std::size_t* upload_size,
                         void** /*request*/) {
  *upload_size = 0;  // nothing takes a body
  const std::string_view verb = method;
  if (verb != MHD_HTTP_METHOD_GET && verb != MHD_HTTP_METHOD_HEAD) {
    return Answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET is answered here\n", "text/plain");
  }
  if (std::string_view(path) != "/metrics") {
    return Answer(connection, MHD_HTTP_NOT_FOUND, "the metrics are at /metrics\n", "text/plain");
  }
  return Answer(connection, MHD_HTTP_OK, static_cast<const MetricsRegistry*>(context)->RenderText(), kTextFormat);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(std::string_view host, std::uint16_t port,
                                                                    const MetricsRegistry& registry) {
  const auto cannot_serve = [&](std::string_view why) {
    return absl::UnavailableError(
        absl::StrCat("cannot serve metrics on ", std::string(host), ":", port, ": ", std::string(why)));
  };
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int failure = getaddrinfo(std::string(host).c_str(), std::to_string(port).c_str(), &hints, &found);
      failure != 0) {
    return cannot_serve(gai_strerror(failure));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> address(found, &freeaddrinfo);
  const unsigned family = address->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0;
  MHD_Daemon* daemon = MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD | family, port, nullptr, nullptr, &HandleRequest,
                                        const_cast<MetricsRegistry*>(&registry), MHD_OPTION_SOCK_ADDR,
                                        address->ai_addr,  // read only: see HandleRequest
                                        MHD_OPTION_CONNECTION_LIMIT, kConnectionLimit, MHD_OPTION_CONNECTION_TIMEOUT,
                                        kConnectionTimeoutSeconds, MHD_OPTION_END);
  if (daemon == nullptr) return cannot_serve("the address is in use or not of this machine");
  const MHD_DaemonInfo* bound = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
  return std::unique_ptr<MetricsServer>(new MetricsServer(daemon, bound->port));
}

MetricsServer::MetricsServer(MHD_Daemon* daemon, std::uint16_t port) : daemon_(daemon), port_(port) {}

MetricsServer::~MetricsServer() { MHD_stop_daemon(daemon_); }

}  // namespace gptvq

#include "platform/tls/tls_probe.h"

#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/identity.h"
#include "platform/option_values.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;

constexpr char kUnixScheme[] = "unix:";

// A connected socket; blocking, with the timeout on every read and write.
class Connection {
 public:
  explicit Connection(int socket) : socket_(socket) {}
  Connection(Connection&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  ~Connection() {
    if (socket_ >= 0) close(socket_);
  }

  int socket() const { return socket_; }

 private:
  int socket_;
};

absl::Status NoAnswer(const std::string& address, const std::string& why) {
  return absl::UnavailableError(absl::StrCat(address, ": ", why));
}

absl::StatusOr<Connection> ConnectTo(const std::string& address, const sockaddr* where, socklen_t size,
                                     milliseconds timeout) {
  Connection connection(socket(where->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (connection.socket() < 0) return NoAnswer(address, std::strerror(errno));
  if (connect(connection.socket(), where, size) != 0) {
    if (errno != EINPROGRESS) return NoAnswer(address, std::strerror(errno));
    pollfd waiting = {.fd = connection.socket(), .events = POLLOUT, .revents = 0};
    if (poll(&waiting, 1, static_cast<int>(timeout.count())) <= 0) return NoAnswer(address, "no answer in time");
    int error = 0;
    socklen_t error_size = sizeof(error);
    getsockopt(connection.socket(), SOL_SOCKET, SO_ERROR, &error, &error_size);
    if (error != 0) return NoAnswer(address, std::strerror(error));
  }
  const timeval limit = {.tv_sec = timeout.count() / 1000, .tv_usec = timeout.count() % 1000 * 1000};
  setsockopt(connection.socket(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(connection.socket(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  const int flags = fcntl(connection.socket(), F_GETFL);
  fcntl(connection.socket(), F_SETFL, flags & ~O_NONBLOCK);
  return connection;
}

absl::StatusOr<Connection> Connect(const std::string& address, milliseconds timeout) {
  if (absl::StartsWith(address, kUnixScheme)) {
    sockaddr_un where = {};
    where.sun_family = AF_UNIX;
    address.copy(where.sun_path, sizeof(where.sun_path) - 1, sizeof(kUnixScheme) - 1);
    return ConnectTo(address, reinterpret_cast<const sockaddr*>(&where), sizeof(where), timeout);
  }
  GPTVQ_ASSIGN_OR_RETURN(const HostPort target, ParseHostPort(address));
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(), &hints, &found);
  if (error != 0) return absl::NotFoundError(absl::StrCat(target.host, ": ", gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  absl::Status last;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    absl::StatusOr<Connection> connection = ConnectTo(address, one->ai_addr, one->ai_addrlen, timeout);
    if (connection.ok()) return connection;
    last = connection.status();
  }
  return last;
}

using ContextPointer = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using SslPointer = std::unique_ptr<SSL, decltype(&SSL_free)>;

SslPointer Attach(SSL_CTX* context, const Connection& connection) {
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  SslPointer ssl(SSL_new(context), &SSL_free);
  SSL_set_alpn_protos(ssl.get(), kHttp2, sizeof(kHttp2));
  SSL_set_fd(ssl.get(), connection.socket());
  return ssl;
}

// Makes the handshake check that the certificate names the host of the address; gRPC calls a unix socket "localhost".
void ExpectHost(const std::string& address, SSL* ssl) {
  const absl::StatusOr<HostPort> target = ParseHostPort(address);
  const std::string host = target.ok() ? target->host : "localhost";
  X509_VERIFY_PARAM* checks = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(checks, host.c_str()) == 1) return;
  SSL_set1_host(ssl, host.c_str());
  SSL_set_tlsext_host_name(ssl, host.c_str());
}

absl::Status Refused(const std::string& why) { return absl::FailedPreconditionError(why); }

// Why the latest call on `ssl` failed.
absl::Status HandshakeError(const std::string& address, SSL* ssl) {
  const unsigned long error = ERR_peek_last_error();
  const long verdict = SSL_get_verify_result(ssl);
  // A gRPC server closes the connection without a word when it does not accept a certificate.
  const bool was_closed = error == 0 || ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
  const char* reason = was_closed ? "it closed the connection; is this side's certificate of the authority in its "
                                    "--tls-ca, in its time, and for clients?"
                                  : ERR_reason_error_string(error);
  const std::string why = reason == nullptr ? "error " + std::to_string(error) : reason;
  ERR_clear_error();
  if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_WRONG_VERSION_NUMBER) {
    return Refused(absl::StrCat(address, ": what listens there does not speak TLS"));
  }
  if (verdict != X509_V_OK) {
    return Refused(absl::StrCat(address, ": the coordinator's certificate: ", X509_verify_cert_error_string(verdict)));
  }
  return Refused(absl::StrCat(address, ": the coordinator refused the handshake: ", why));
}

}  // namespace

absl::Status ProbeAddress(const std::string& address, milliseconds timeout) {
  return Connect(address, timeout).status();
}

absl::StatusOr<Wire> ProbeWire(const std::string& address, milliseconds timeout) {
  GPTVQ_ASSIGN_OR_RETURN(const Connection connection, Connect(address, timeout));
  const ContextPointer context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
  const SslPointer ssl = Attach(context.get(), connection);
  SSL_connect(ssl.get());
  ERR_clear_error();
  // A server that asks for our certificate has shown its own first.
  return SSL_get0_peer_certificate(ssl.get()) == nullptr ? Wire::kPlain : Wire::kTls;
}

absl::StatusOr<TlsHandshake> ProbeTls(const std::string& address, const TlsFiles& files, HostCheck host_check,
                                      milliseconds timeout) {
  GPTVQ_ASSIGN_OR_RETURN(const Connection connection, Connect(address, timeout));
  const ContextPointer context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
  if (SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_load_verify_locations(context.get(), files.authority.c_str(), nullptr) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the files of --tls-cert, --tls-key and --tls-ca can not be used");
  }
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  const SslPointer ssl = Attach(context.get(), connection);
  if (host_check == HostCheck::kNamesTheHost) ExpectHost(address, ssl.get());
  if (SSL_connect(ssl.get()) != 1) return HandshakeError(address, ssl.get());

  TlsHandshake handshake = {SSL_get_version(ssl.get()), DescribeCertificate(SSL_get0_peer_certificate(ssl.get()))};
  if (const absl::Status status = CheckIsCoordinator(handshake.server.uris); !status.ok()) {
    return Refused(absl::StrCat(address, ": ", status.message()));
  }
  char first = 0;
  if (SSL_peek(ssl.get(), &first, 1) != 1) return HandshakeError(address, ssl.get());
  SSL_shutdown(ssl.get());
  return handshake;
}

}  // namespace gptvq

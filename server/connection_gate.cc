#include "server/connection_gate.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/option_values.h"

namespace gptvq {
namespace {

constexpr std::string_view kUnixScheme = "unix:";
// For the journal, artifacts, logs, metrics, and whatever libraries open.
constexpr std::size_t kReservedDescriptors = 256;
constexpr int kPauseWithoutDescriptorsMs = 100;
constexpr std::chrono::seconds kTellEvery(10);

absl::Status CanNotListen(const std::string& address, const char* why) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", address, ": ", why));
}

// A machine without IPv6 has the name "localhost" for ::1 nevertheless.
bool IsMissingFamily(int error) { return error == EADDRNOTAVAIL || error == EAFNOSUPPORT; }

// Sockets that are closed unless they are released.
class Sockets {
 public:
  ~Sockets() {
    for (const int socket : sockets_) close(socket);
  }
  void Add(int socket) { sockets_.push_back(socket); }
  bool empty() const { return sockets_.empty(); }
  int front() const { return sockets_.front(); }
  std::vector<int> Release() { return std::exchange(sockets_, {}); }

 private:
  std::vector<int> sockets_;
};

int Port(int socket) {
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &size);
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port
                                           : reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
}

// Takes the socket; 0 or the error.
int BindAndListen(int socket, const sockaddr* where, socklen_t size, Sockets& listeners) {
  if (socket < 0) return errno;
  listeners.Add(socket);
  return bind(socket, where, size) == 0 && listen(socket, SOMAXCONN) == 0 ? 0 : errno;
}

absl::StatusOr<std::vector<int>> ListenOnUnixSocket(const std::string& address) {
  sockaddr_un where = {};
  where.sun_family = AF_UNIX;
  address.copy(where.sun_path, sizeof(where.sun_path) - 1, kUnixScheme.size());
  struct stat info = {};
  if (lstat(where.sun_path, &info) == 0 && S_ISSOCK(info.st_mode)) unlink(where.sun_path);
  const int one = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (one >= 0) fchmod(one, S_IRUSR | S_IWUSR);  // which bind() gives the file
  Sockets listeners;
  const int error = BindAndListen(one, reinterpret_cast<const sockaddr*>(&where), sizeof(where), listeners);
  if (error != 0) return CanNotListen(address, std::strerror(error));
  return listeners.Release();
}

int ListenOnTcp(const addrinfo& where, Sockets& listeners) {
  const int one = socket(where.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  const int off = 0;
  // Not SO_REUSEPORT: two coordinators must never share a port silently. Connections inherit the rest.
  setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(one, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (where.ai_family == AF_INET6) setsockopt(one, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  return BindAndListen(one, where.ai_addr, where.ai_addrlen, listeners);
}

// On every address of the host, all with the same port.
absl::StatusOr<std::vector<int>> ListenOnHost(const std::string& address, HostPort& target) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(), &hints, &found);
  if (error != 0) return CanNotListen(address, gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  Sockets listeners;
  for (addrinfo* one = found; one != nullptr; one = one->ai_next) {
    // sockaddr_in and sockaddr_in6 have the port at the same place.
    reinterpret_cast<sockaddr_in*>(one->ai_addr)->sin_port = htons(static_cast<std::uint16_t>(target.port));
    Sockets listener;
    const int failure = ListenOnTcp(*one, listener);
    const bool is_last_chance = one->ai_next == nullptr && listeners.empty();
    if (IsMissingFamily(failure) && !is_last_chance) continue;
    if (failure != 0) return CanNotListen(address, std::strerror(failure));
    if (target.port == 0) target.port = Port(listener.front());
    listeners.Add(listener.Release().front());
  }
  return listeners.Release();
}

std::size_t Affordable(int max_connections) {
  const auto wanted = static_cast<std::size_t>(max_connections);
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return wanted;
  const std::size_t files = limit.rlim_cur;
  return std::min(wanted, files > 2 * kReservedDescriptors ? files - kReservedDescriptors : files / 2);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ConnectionGate>> ConnectionGate::Listen(const std::string& address, int max_connections,
                                                                       Logger& log) {
  std::string picked = address;
  absl::StatusOr<std::vector<int>> listeners;
  if (address.starts_with(kUnixScheme)) {
    listeners = ListenOnUnixSocket(address);
  } else {
    GPTVQ_ASSIGN_OR_RETURN(HostPort target, ParseHostPort(address));
    listeners = ListenOnHost(address, target);
    picked = target.ToString();
  }
  GPTVQ_RETURN_IF_ERROR(listeners.status());
  return std::unique_ptr<ConnectionGate>(
      new ConnectionGate(*std::move(listeners), std::move(picked), Affordable(max_connections), log));
}

ConnectionGate::ConnectionGate(std::vector<int> listeners, std::string address, std::size_t max_connections,
                               Logger& log)
    : listeners_(std::move(listeners)),
      address_(std::move(address)),
      max_connections_(max_connections),
      log_(log),
      wake_(eventfd(0, EFD_CLOEXEC)) {}

ConnectionGate::~ConnectionGate() {
  Close();
  close(wake_);
}

void ConnectionGate::Open(std::function<void(int listener, int socket)> take) {
  take_ = std::move(take);
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void ConnectionGate::Close() {
  if (thread_.joinable()) {
    thread_.request_stop();
    eventfd_write(wake_, 1);
    thread_.join();
  }
  if (!listeners_.empty() && address_.starts_with(kUnixScheme)) unlink(address_.c_str() + kUnixScheme.size());
  for (const int listener : std::exchange(listeners_, {})) close(listener);
}

void ConnectionGate::Run(const std::stop_token& stop) {
  std::vector<pollfd> waiting = {{.fd = wake_, .events = POLLIN, .revents = 0}};
  for (const int listener : listeners_) waiting.push_back({.fd = listener, .events = POLLIN, .revents = 0});
  while (!stop.stop_requested()) {
    if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
    for (std::size_t i = 1; i < waiting.size(); ++i) {
      if (waiting[i].revents != 0) Accept(waiting[i].fd);
    }
  }
}

void ConnectionGate::Accept(int listener) {
  const int socket = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (socket < 0) {
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
    // The connection stays in the queue; descriptors come back as others end.
    pollfd wake = {.fd = wake_, .events = POLLIN, .revents = 0};
    poll(&wake, 1, kPauseWithoutDescriptorsMs);
    return;
  }
  struct stat info = {};
  if (fstat(socket, &info) == 0 && HasRoom()) {
    handed_over_[socket] = {info.st_dev, info.st_ino};
    take_(listener, socket);
    return;
  }
  close(socket);
  ++closed_count_;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_told_ < kTellEvery) return;
  last_told_ = now;
  log_.Warning("too many connections; new ones are closed",
               {{"address", address_}, {"max_connections", max_connections_}, {"closed", closed_count_}});
}

bool ConnectionGate::HasRoom() {
  if (handed_over_.size() < max_connections_) return true;
  std::erase_if(handed_over_, [](const auto& entry) {
    struct stat info = {};
    return fstat(entry.first, &info) != 0 || SocketKey(info.st_dev, info.st_ino) != entry.second;
  });
  return handed_over_.size() < max_connections_;
}

}  // namespace gptvq

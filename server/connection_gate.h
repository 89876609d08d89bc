#ifndef GPTVQ_SERVER_CONNECTION_GATE_H_
#define GPTVQ_SERVER_CONNECTION_GATE_H_

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/log.h"

namespace gptvq {

// Listens for a server and hands connections over to it, at most so many at a time: further ones are closed at once. gRPC
// itself has no such limit, and its older versions stop listening for good when the process runs out of file
// descriptors (CVE-2023-4785). Whether a connection has ended is seen by its descriptor, so whoever takes one must not
// duplicate it. Owns the listening sockets, a unix socket's file, and a thread; borrows the log. Thread-compatible.
class ConnectionGate {
 public:
  // "host:port", port 0 picks a free one; or "unix:/path", a socket for its own user alone, in place of one that an earlier
  // process left. The limit is lowered to what the process may open, less some for itself.
  // Errors: Unavailable naming the address.
  static absl::StatusOr<std::unique_ptr<ConnectionGate>> Listen(const std::string& address, int max_connections,
                                                                Logger& log);
  ~ConnectionGate();

  // Where it listens, with the port that was picked.
  const std::string& address() const { return address_; }

  // From now on `take` gets every connection and owns it. Called on the gate's thread. To be called once.
  void Open(std::function<void(int listener, int socket)> take);
  // Listens no more. Returns when `take` does not run any more.
  void Close();

 private:
  // Which socket a descriptor stood for when it was handed over; numbers of closed ones are used again.
  using SocketKey = std::pair<dev_t, ino_t>;

  ConnectionGate(std::vector<int> listeners, std::string address, std::size_t max_connections, Logger& log);

  void Run(const std::stop_token& stop);
  void Accept(int listener);
  bool HasRoom();

  std::vector<int> listeners_;
  const std::string address_;
  const std::size_t max_connections_;
  Logger& log_;
  const int wake_;  // becomes readable when the thread is to end
  std::function<void(int, int)> take_;
  // Of the thread:
  std::map<int, SocketKey> handed_over_;
  std::int64_t closed_count_ = 0;
  std::chrono::steady_clock::time_point last_told_;
  std::jthread thread_;
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_CONNECTION_GATE_H_

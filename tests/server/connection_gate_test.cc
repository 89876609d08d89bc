#include "server/connection_gate.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <sstream>

#include "platform/option_values.h"
#include "tests/support/temporary_directory.h"

namespace gptvq {
namespace {

constexpr timeval kDeadline = {.tv_sec = 60, .tv_usec = 0};  // against hangs only

// What a gate hands over.
class Taken {
 public:
  ~Taken() {
    for (const int socket : sockets_) close(socket);
  }
  void Add(int socket) {
    const std::lock_guard lock(mutex_);
    sockets_.push_back(socket);
    changed_.notify_all();
  }
  bool AwaitCount(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return sockets_.size() >= count; });
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return sockets_.size();
  }
  void CloseOne() {
    const std::lock_guard lock(mutex_);
    close(sockets_.back());
    sockets_.pop_back();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int> sockets_;
};

// A connection of the test's own.
class Connection {
 public:
  explicit Connection(const std::string& address) {
    if (address.starts_with("unix:")) {
      sockaddr_un where = {};
      where.sun_family = AF_UNIX;
      address.copy(where.sun_path, sizeof(where.sun_path) - 1, 5);
      Connect(AF_UNIX, reinterpret_cast<const sockaddr*>(&where), sizeof(where));
      return;
    }
    sockaddr_in where = {};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    where.sin_port = htons(static_cast<std::uint16_t>(ParseHostPort(address)->port));
    Connect(AF_INET, reinterpret_cast<const sockaddr*>(&where), sizeof(where));
  }
  ~Connection() { close(socket_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool ok() const { return error_ == 0; }
  // Waits until the other side has closed.
  bool IsClosed() const {
    char byte = 0;
    return recv(socket_, &byte, 1, 0) == 0 || errno == ECONNRESET;
  }

 private:
  void Connect(int family, const sockaddr* where, socklen_t size) {
    socket_ = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &kDeadline, sizeof(kDeadline));
    error_ = connect(socket_, where, size) == 0 ? 0 : errno;
  }

  int socket_ = -1;
  int error_ = 0;
};

class ConnectionGateTest : public testing::Test {
 protected:
  std::unique_ptr<ConnectionGate> Open(const std::string& address, int max_connections) {
    auto gate = ConnectionGate::Listen(address, max_connections, log_);
    EXPECT_TRUE(gate.ok()) << gate.status();
    (*gate)->Open([this](int, int socket) { taken_.Add(socket); });
    return *std::move(gate);
  }

  const TemporaryDirectory directory_;
  std::ostringstream log_text_;
  Logger log_{LogLevel::kInfo, log_text_};
  Taken taken_;
};

TEST_F(ConnectionGateTest, ClosesWhatIsBeyondTheLimitAndTakesNewOnesWhenOthersEnd) {
  const auto gate = Open("127.0.0.1:0", 2);
  const Connection first(gate->address());
  const Connection second(gate->address());
  ASSERT_TRUE(taken_.AwaitCount(2));

  const Connection third(gate->address());
  EXPECT_TRUE(third.IsClosed());
  EXPECT_EQ(taken_.count(), 2u);

  taken_.CloseOne();
  const Connection fourth(gate->address());
  EXPECT_TRUE(taken_.AwaitCount(2));
  gate->Close();
  EXPECT_NE(log_text_.str().find("too many connections"), std::string::npos);
}

TEST_F(ConnectionGateTest, OutlivesALackOfFileDescriptors) {
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto gate = Open("127.0.0.1:0", 100);
  rlimit few = before;
  few.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<int> files;
  while (true) {
    const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (file < 0) break;
    files.push_back(file);
  }
  EXPECT_EQ(errno, EMFILE);
  close(files.back());  // one for the connection's own side
  files.pop_back();
  const Connection waiting(gate->address());
  EXPECT_TRUE(waiting.ok());

  for (const int file : files) close(file);
  EXPECT_TRUE(taken_.AwaitCount(1));

  setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(ConnectionGateTest, MakesAUnixSocketForItsUserAloneInPlaceOfAnOldOne) {
  const std::string path = directory_.Join("socket");
  const int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un where = {};
  where.sun_family = AF_UNIX;
  path.copy(where.sun_path, sizeof(where.sun_path) - 1);
  ASSERT_EQ(bind(stale, reinterpret_cast<const sockaddr*>(&where), sizeof(where)), 0);
  close(stale);

  auto gate = Open("unix:" + path, 10);
  const Connection connection("unix:" + path);
  EXPECT_TRUE(taken_.AwaitCount(1));
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);

  gate->Close();
  EXPECT_NE(stat(path.c_str(), &info), 0);
}

TEST_F(ConnectionGateTest, RefusesAnAddressThatItCanNotHave) {
  const auto gate = Open("127.0.0.1:0", 10);
  directory_.WriteFile("file", "not a socket");

  for (const std::string& address : {gate->address(), std::string("nowhere.invalid:1"),
                                     "unix:" + directory_.Join("file"), std::string("unix:/nonexistent/socket")}) {
    const absl::Status status = ConnectionGate::Listen(address, 10, log_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << address;
    EXPECT_NE(status.message().find(address), std::string::npos) << status;
  }
}

TEST_F(ConnectionGateTest, ListensNoMoreAfterClose) {
  const auto gate = Open("localhost:0", 10);
  EXPECT_TRUE(Connection(gate->address()).ok());

  gate->Close();

  EXPECT_FALSE(Connection(gate->address()).ok());
}

}  // namespace
}  // namespace gptvq

#include "platform/stop_signals.h"

#include <signal.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::ElementsAre;

// Signals in the order in which they came.
class Received {
 public:
  void Add(int signal) {
    std::lock_guard lock(mutex_);
    signals_.push_back(signal);
    changed_.notify_all();
  }
  std::vector<int> Await(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return signals_.size() >= count; });
    return signals_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int> signals_;
};

TEST(StopSignals, EverySignalIsACall) {
  Received received;
  const StopSignals signals([&](int signal) { received.Add(signal); });

  raise(SIGTERM);
  received.Await(1);
  raise(SIGINT);

  EXPECT_THAT(received.Await(2), ElementsAre(SIGTERM, SIGINT));
}

TEST(StopSignals, ReachItFromAThreadThatWasThereBefore) {
  Received received;
  std::mutex gate;
  gate.lock();
  std::jthread early([&] {
    std::lock_guard lock(gate);
    raise(SIGTERM);  // to this thread
  });
  const StopSignals signals([&](int signal) { received.Add(signal); });

  gate.unlock();

  EXPECT_THAT(received.Await(1), ElementsAre(SIGTERM));
}

TEST(StopSignalsDeathTest, DefaultActionsComeBack) {
  {
    const StopSignals signals([](int) {});
  }
  EXPECT_EXIT(raise(SIGTERM), testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace gptvq

#include "platform/thread_name.h"

#include <fstream>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

// What the kernel calls the thread that runs this.
std::string KernelName() {
  std::ifstream file("/proc/thread-self/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

TEST(NameThisThread, ShowsInProcAndLeavesOtherThreadsAlone) {
  const std::string before = KernelName();
  std::string named;

  std::thread([&] {
    NameThisThread("renewal");
    named = KernelName();
  }).join();

  EXPECT_EQ(named, "renewal");
  EXPECT_EQ(KernelName(), before);
}

TEST(NameThisThread, KeepsWhatTheKernelTakesOfALongName) {
  std::string named;

  std::thread([&] {
    NameThisThread("a-name-that-is-longer-than-fifteen");
    named = KernelName();
  }).join();

  EXPECT_EQ(named, "a-name-that-is-");
}

}  // namespace
}  // namespace gptvq

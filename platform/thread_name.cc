#include "platform/thread_name.h"

#include <pthread.h>

#include <string>

namespace gptvq {
namespace {

constexpr std::size_t kMaxNameBytes = 15;  // of Linux, without the null

}  // namespace

void NameThisThread(std::string_view name) {
  // It fails for longer names only.
  pthread_setname_np(pthread_self(), std::string(name.substr(0, kMaxNameBytes)).c_str());
}

}  // namespace gptvq

#include "client/local_backend.h"

#include <algorithm>
#include <thread>

#include "core/cpu/cpu_backend.h"

namespace gptvq {

std::unique_ptr<Backend> MakeLocalBackend(int threads) {
  const int cores = std::max(1u, std::thread::hardware_concurrency());
  return MakeCpuBackend({.thread_count = threads > 0 ? threads : cores});
}

}  // namespace gptvq

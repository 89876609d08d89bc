#include "tests/cuda_simulator/simt.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <vector>

#include "cuda_runtime_api.h"
#include "tests/cuda_simulator/stream_work.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace gptvq::simt {
namespace {

constexpr std::size_t kStackBytes = std::size_t{256} << 10;  // under AddressSanitizer frames are large
constexpr std::size_t kSharedBytesUnasked = 48 << 10;
constexpr unsigned kMaxThreads = 1024;

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes, zero_bytes;
};

struct Barrier {
  int size = 0;
  int arrived = 0;
  std::vector<int> waiting;  // fibers
};

struct Fiber {
  enum class State { kReady, kWaiting, kDone };

  ucontext_t start;  // where it begins; from then on it is left and entered through `place`, which needs no system call
  jmp_buf place;
  bool started = false;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  State state = State::kDone;
  uint3 index;
  int exchanges = 0;  // which of the two buffers of its warp is next
  std::vector<Copy> uncommitted;
  std::deque<std::vector<Copy>> committed;
};

struct Warp {
  Barrier barrier;
  WarpValues values[2];
};

struct ThreadBlock {
  std::vector<std::unique_ptr<Fiber>> fibers;  // kept from launch to launch
  int size = 0;
  int running = 0;
  jmp_buf scheduler;
  Barrier barrier;
  std::vector<Warp> warps;
  bool any = false;  // SyncThreadsOr
  std::vector<unsigned char> shared;
  const std::function<void()>* thread = nullptr;
};

std::mutex launch_mutex;  // for what is global here and in the kernels: the thread block that runs, its static memory
ThreadBlock block;
std::mt19937 shuffle(1);
std::mutex allowed_mutex;
std::map<const void*, std::size_t> allowed_shared_bytes;  // guarded by allowed_mutex; devices do not differ in it
thread_local Order order = Order::kAscending;
thread_local int last_error = cudaSuccess;

Fiber& Running() { return *block.fibers[static_cast<std::size_t>(block.running)]; }
Warp& RunningWarp() { return block.warps[static_cast<std::size_t>(block.running / kWarp)]; }

void Leave(Fiber& fiber) {
  if (_setjmp(fiber.place) == 0) _longjmp(block.scheduler, 1);
}

// Until the fiber leaves.
void Enter(Fiber& fiber) {
  if (_setjmp(block.scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.place, 1);
  fiber.started = true;
  setcontext(&fiber.start);
}

void Wait(Barrier& barrier) {
  if (++barrier.arrived < barrier.size) {
    Fiber& fiber = Running();
    fiber.state = Fiber::State::kWaiting;
    barrier.waiting.push_back(block.running);
    Leave(fiber);
    return;
  }
  for (int waiting : barrier.waiting) block.fibers[static_cast<std::size_t>(waiting)]->state = Fiber::State::kReady;
  barrier.waiting.clear();
  barrier.arrived = 0;
}

void FiberMain() {
  (*block.thread)();
  Fiber& fiber = Running();
  if (!fiber.uncommitted.empty()) Fail("a thread ends with copies that were never committed");
  fiber.state = Fiber::State::kDone;
  Leave(fiber);
}

void Prepare(Fiber& fiber, uint3 index) {
  fiber.state = Fiber::State::kReady;
  fiber.index = index;
  fiber.exchanges = 0;
  fiber.committed.clear();
  fiber.started = false;
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = fiber.stack.get();
  fiber.start.uc_stack.ss_size = kStackBytes;
  fiber.start.uc_link = nullptr;
  makecontext(&fiber.start, FiberMain, 0);
}

std::vector<std::int64_t> OrderOf(std::int64_t count, Order order) {
  std::vector<std::int64_t> sequence(static_cast<std::size_t>(count));
  std::iota(sequence.begin(), sequence.end(), std::int64_t{0});
  if (order == Order::kDescending) std::reverse(sequence.begin(), sequence.end());
  if (order == Order::kShuffled) std::shuffle(sequence.begin(), sequence.end(), shuffle);
  return sequence;
}

void PrepareBlock(const LaunchPlace& place) {
  block.size = static_cast<int>(place.block.x * place.block.y * place.block.z);
  while (static_cast<int>(block.fibers.size()) < block.size) block.fibers.push_back(std::make_unique<Fiber>());
  block.barrier = Barrier();
  block.barrier.size = block.size;
  block.warps.assign(static_cast<std::size_t>((block.size + kWarp - 1) / kWarp), Warp());
  for (int i = 0; i < block.size; ++i) {
    const auto n = static_cast<unsigned>(i);
    Prepare(*block.fibers[static_cast<std::size_t>(i)],
            {n % place.block.x, n / place.block.x % place.block.y, n / (place.block.x * place.block.y)});
    ++block.warps[static_cast<std::size_t>(i / kWarp)].barrier.size;
  }
  block.shared = std::vector<unsigned char>(place.shared_bytes, 0xff);  // anew: a freed one is fenced off
}

// Runs the fibers that are ready, in order, until none is. Returns whether any was.
bool RunWarp(const std::vector<std::int64_t>& lanes, std::int64_t first, int& done) {
  bool progress = false;
  for (bool again = true; again;) {
    again = false;
    for (std::int64_t lane : lanes) {
      if (first + lane >= block.size) continue;
      Fiber& fiber = *block.fibers[static_cast<std::size_t>(first + lane)];
      if (fiber.state != Fiber::State::kReady) continue;
      again = progress = true;
      block.running = static_cast<int>(first + lane);
      threadIdx = fiber.index;
      Enter(fiber);
      if (fiber.state == Fiber::State::kDone) ++done;
    }
  }
  return progress;
}

// A warp runs as far ahead of the others as the barriers of the thread block let it.
void RunBlock(Order order) {
  const std::vector<std::int64_t> lanes = OrderOf(kWarp, order),
                                  warps = OrderOf(static_cast<std::int64_t>(block.warps.size()), order);
  for (int done = 0; done < block.size;) {
    bool progress = false;
    for (std::int64_t warp : warps) progress = RunWarp(lanes, warp * kWarp, done) || progress;
    if (!progress) Fail("threads wait at a barrier that others never reach");
  }
}

std::size_t AllowedSharedBytes(const void* kernel) {
  const std::lock_guard lock(allowed_mutex);
  const auto allowed = allowed_shared_bytes.find(kernel);
  return allowed == allowed_shared_bytes.end() ? kSharedBytesUnasked : allowed->second;
}

void RunGrid(const LaunchPlace& place, const std::function<void()>& thread, Order order) {
  const std::lock_guard lock(launch_mutex);
  const dim3 grid = place.grid;
  gridDim = grid;
  blockDim = place.block;
  block.thread = &thread;
  for (std::int64_t i : OrderOf(std::int64_t{grid.x} * grid.y * grid.z, order)) {
    const auto n = static_cast<unsigned>(i);
    blockIdx = {n % grid.x, n / grid.x % grid.y, n / (grid.x * grid.y)};
    PrepareBlock(place);
    RunBlock(order);
  }
}

}  // namespace

void Fail(const char* what) {
  std::fprintf(stderr, "CUDA simulator: thread block (%u, %u, %u), thread (%u, %u, %u): %s\n", blockIdx.x, blockIdx.y,
               blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, what);
  std::abort();
}

void LaunchPlace::Launch(const void* kernel, std::function<void()> thread) const {
  const std::size_t shared_limit = AllowedSharedBytes(kernel);
  if (std::int64_t{block.x} * block.y * block.z > kMaxThreads || shared_bytes > shared_limit || grid.x > 0x7fffffff ||
      grid.y > 0xffff || grid.z > 0xffff || std::int64_t{block.x} * block.y * block.z * grid.x * grid.y * grid.z == 0) {
    KeepError(cudaErrorInvalidConfiguration);
    return;
  }
  QueueWork(stream, [place = *this, thread = std::move(thread), order = order] { RunGrid(place, thread, order); });
}

void SetOrder(Order new_order) { order = new_order; }

void AllowSharedBytes(const void* kernel, std::size_t bytes) {
  const std::lock_guard lock(allowed_mutex);
  std::size_t& allowed = allowed_shared_bytes[kernel];
  if (bytes < allowed) Fail("a thread takes shared memory away that others may launch with");
  allowed = bytes;
}

int KeepError(int error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}
int TakeError() { return std::exchange(last_error, cudaSuccess); }

void* DynamicSharedBytes() { return block.shared.data(); }

void SyncThreads() { Wait(block.barrier); }

bool SyncThreadsOr(bool value) {
  block.any = block.any || value;
  Wait(block.barrier);
  const bool any = block.any;
  Wait(block.barrier);  // all have read it
  block.any = false;
  Wait(block.barrier);  // all have forgotten it
  return any;
}

void SyncWarp() { Wait(RunningWarp().barrier); }

const WarpValues& ExchangeBytes(const void* value, std::size_t bytes) {
  if (RunningWarp().barrier.size != kWarp) Fail("a warp operation in an incomplete warp");
  // A lane comes back to a buffer only after all lanes passed the barrier of the other one, so all have read it.
  WarpValues& values = RunningWarp().values[Running().exchanges++ % 2];
  std::memcpy(values.bytes[Lane()], value, bytes);
  SyncWarp();
  return values;
}

int Lane() { return block.running % kWarp; }

void CopyLater(void* to, const void* from, std::size_t bytes, std::size_t zero_bytes) {
  if (reinterpret_cast<std::uintptr_t>(to) % bytes != 0 || reinterpret_cast<std::uintptr_t>(from) % bytes != 0) {
    Fail("an asynchronous copy that is not aligned to its size");
  }
  Running().uncommitted.push_back({to, from, bytes, zero_bytes});
}

void CommitCopies() { Running().committed.push_back(std::exchange(Running().uncommitted, {})); }

void WaitForCopies(std::size_t groups_left) {
  std::deque<std::vector<Copy>>& groups = Running().committed;
  for (; groups.size() > groups_left; groups.pop_front()) {
    for (const Copy& copy : groups.front()) {
      std::memcpy(copy.to, copy.from, copy.bytes - copy.zero_bytes);
      std::memset(static_cast<char*>(copy.to) + copy.bytes - copy.zero_bytes, 0, copy.zero_bytes);
    }
  }
}

}  // namespace gptvq::simt

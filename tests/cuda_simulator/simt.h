#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_SIMT_H_
#define GPTVQ_TESTS_CUDA_SIMULATOR_SIMT_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

// Runs CUDA kernels on the CPU, to test them where there is no GPU: their indices, barriers, warp exchanges and shared
// memory, not their speed. Every thread of a thread block is a fiber; thread blocks run one after the other. A fiber runs
// until it waits for the others at a barrier, and the order in which fibers and thread blocks run is a parameter: a kernel
// without races gives the same bytes in every order. What hardware leaves undefined is fatal here: threads of a warp or
// thread block that wait at different barriers, and a warp operation of an incomplete warp.
// Shared memory is filled with NaN for every thread block; dynamic shared memory is exactly as large as was asked for, so
// that AddressSanitizer sees what lies beyond. Thread-safe: kernels of different threads run one after the other.
//
// A kernel becomes C++ by the rewriting in CMakeLists.txt, and by the headers in include/, which stand in for CUDA's own.

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Of the fiber that runs.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace gptvq::simt {

inline constexpr int kWarp = 32;

enum class Order { kAscending, kDescending, kShuffled };

struct LaunchPlace {
  dim3 grid, block;
  std::size_t shared_bytes = 0;
  void* stream = nullptr;

  // Queues kernel(arguments...) in every thread on the stream, or leaves an error behind.
  template <typename... Parameters, typename... Arguments>
  void Run(void (*kernel)(Parameters...), Arguments&&... arguments) const {
    const std::tuple<std::decay_t<Parameters>...> copies(static_cast<Parameters>(arguments)...);
    Launch(reinterpret_cast<const void*>(kernel), [kernel, copies] { std::apply(kernel, copies); });
  }

 private:
  void Launch(const void* kernel, std::function<void()> thread) const;
};

// The order of fibers and thread blocks of kernels that this thread launches from now on.
void SetOrder(Order order);

// Dynamic shared memory that `kernel` may ask for, whatever thread launches it; 48 KiB unless told. Less than before is fatal:
// another thread may be about to launch with more.
void AllowSharedBytes(const void* kernel, std::size_t bytes);

// Keeps an error as the last one of this thread, until it is taken, and returns it. No success takes it away, so it is what
// the next launch seems to have met.
int KeepError(int error);
// The last error of this thread, 0 if none; forgets it.
int TakeError();

// Whether events are incomplete from now on, as if the device hung.
void SetEventsPending(bool pending);

void* DynamicSharedBytes();
template <typename T>
T* DynamicShared() {
  return static_cast<T*>(DynamicSharedBytes());
}

// Barriers of the fibers of a thread block and of a warp.
void SyncThreads();
bool SyncThreadsOr(bool value);
void SyncWarp();

// What every lane of the calling fiber's warp put in, up to 32 bytes each; a barrier of the warp.
struct WarpValues {
  alignas(16) unsigned char bytes[kWarp][32];

  template <typename T>
  T At(int lane) const {
    T value;
    std::memcpy(&value, bytes[lane], sizeof(T));
    return value;
  }
};
const WarpValues& ExchangeBytes(const void* value, std::size_t bytes);
template <typename T>
const WarpValues& Exchange(const T& value) {
  static_assert(sizeof(T) <= sizeof(WarpValues::bytes[0]));
  return ExchangeBytes(&value, sizeof(T));
}
int Lane();

// Copies to shared memory that happen no sooner than they are waited for.
void CopyLater(void* to, const void* from, std::size_t bytes, std::size_t zero_bytes);
void CommitCopies();
void WaitForCopies(std::size_t groups_left);

[[noreturn]] void Fail(const char* what);

}  // namespace gptvq::simt

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_SIMT_H_

#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_SIMULATED_NCCL_H_
#define GPTVQ_TESTS_CUDA_SIMULATOR_SIMULATED_NCCL_H_

namespace gptvq::simt {

// What becomes of the broadcasts from now on.
enum class BroadcastFault {
  kNone,
  kRefused,     // the call fails
  kAsyncError,  // it never ends, and the communicator says why
  kHang,        // it never ends
};
void SetBroadcastFault(BroadcastFault fault);

// Communicators that were made and neither destroyed nor aborted.
int LiveCommunicators();

}  // namespace gptvq::simt

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_SIMULATED_NCCL_H_

// A broadcast happens when its group ends, once every rank has made its call with the same root and length: anything else would
// hang on GPUs and is an error here.
#include "tests/cuda_simulator/simulated_nccl.h"

#include <atomic>
#include <cstring>
#include <set>
#include <vector>

#include "core/cuda/nccl_library.h"
#include "nccl.h"
#include "tests/cuda_simulator/simt.h"

struct ncclComm {
  int rank = 0;
  int size = 0;
};

namespace {

using gptvq::simt::BroadcastFault;

struct Call {
  const void* source;
  void* target;
  std::size_t count;
  int root;
  ncclComm_t communicator;
};

// Calls of the group that is open on this thread.
thread_local bool group_is_open = false;
thread_local std::vector<Call> group;

std::atomic<BroadcastFault> fault = BroadcastFault::kNone;
std::atomic<int> live_communicators = 0;

bool Agree(const std::vector<Call>& calls) {
  std::set<int> ranks;
  for (const Call& call : calls) {
    ranks.insert(call.communicator->rank);
    if (call.root != calls.front().root || call.count != calls.front().count) return false;
  }
  return static_cast<int>(ranks.size()) == calls.front().communicator->size && ranks.size() == calls.size();
}

}  // namespace

void gptvq::simt::SetBroadcastFault(BroadcastFault new_fault) {
  fault = new_fault;
  SetEventsPending(false);
}
int gptvq::simt::LiveCommunicators() { return live_communicators; }

ncclResult_t ncclGetVersion(int* version) {
  *version = 22809;
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t) { return "simulated"; }

ncclResult_t ncclCommInitAll(ncclComm_t* communicators, int count, const int* devices) {
  if (std::set<int>(devices, devices + count).size() != static_cast<std::size_t>(count)) return ncclInvalidUsage;
  for (int rank = 0; rank < count; ++rank) communicators[rank] = new ncclComm{rank, count};
  live_communicators += count;
  return ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t communicator) {
  delete communicator;
  --live_communicators;
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t communicator) { return ncclCommDestroy(communicator); }
ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* error) {
  *error = fault == BroadcastFault::kAsyncError ? ncclRemoteError : ncclSuccess;
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  group_is_open = true;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  group_is_open = false;
  const std::vector<Call> calls = std::exchange(group, {});
  if (calls.empty()) return ncclSuccess;
  if (!Agree(calls)) return ncclInvalidUsage;
  if (fault != BroadcastFault::kNone) {
    gptvq::simt::SetEventsPending(true);
    return ncclSuccess;
  }
  const void* source = nullptr;
  for (const Call& call : calls) {
    if (call.communicator->rank == call.root) source = call.source;
  }
  for (const Call& call : calls) {
    if (call.target != source) std::memcpy(call.target, source, call.count);
  }
  return ncclSuccess;
}
ncclResult_t ncclBroadcast(const void* source, void* target, std::size_t count, ncclDataType_t, int root,
                           ncclComm_t communicator, cudaStream_t) {
  if (fault == BroadcastFault::kRefused) return ncclInternalError;
  if (!group_is_open) return ncclInvalidUsage;
  group.push_back({source, target, count, root, communicator});
  return ncclSuccess;
}

absl::StatusOr<gptvq::cuda::NcclLibrary> gptvq::cuda::LoadNcclLibrary() {
  return NcclLibrary{.get_version = ncclGetVersion,
                     .get_error_string = ncclGetErrorString,
                     .comm_init_all = ncclCommInitAll,
                     .comm_destroy = ncclCommDestroy,
                     .comm_abort = ncclCommAbort,
                     .comm_get_async_error = ncclCommGetAsyncError,
                     .group_start = ncclGroupStart,
                     .group_end = ncclGroupEnd,
                     .broadcast = ncclBroadcast};
}

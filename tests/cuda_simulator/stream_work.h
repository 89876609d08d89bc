#ifndef GPTVQ_TESTS_CUDA_SIMULATOR_STREAM_WORK_H_
#define GPTVQ_TESTS_CUDA_SIMULATOR_STREAM_WORK_H_

#include <cstdint>
#include <functional>

namespace gptvq::simt {

// What streams are asked to do. It happens as late as it may: when somebody waits for it, in the order of its stream. So whoever
// uses on one stream, or on the host, what another stream has not been waited for, sees what was there before, or NaN. Thread-safe.

// On the null stream work is done at once.
void QueueWork(void* stream, std::function<void()> work);

// What is queued on a stream so far, as a number to wait for; and the waiting. Work that is done meanwhile by another thread is
// waited for.
std::uint64_t QueuedWork(void* stream);
void FinishWork(void* stream, std::uint64_t queued);

// Before the stream's address may be that of another one. Precondition: all of its work is done.
void ForgetStream(void* stream);

// How many streams were asked for something so far.
std::uint64_t StreamsThatWorked();

}  // namespace gptvq::simt

#endif  // GPTVQ_TESTS_CUDA_SIMULATOR_STREAM_WORK_H_

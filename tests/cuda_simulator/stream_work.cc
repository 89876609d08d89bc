#include "tests/cuda_simulator/stream_work.h"

#include <atomic>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace gptvq::simt {
namespace {

struct Stream {
  std::mutex works;  // held while work is done, so that it is done in order; before `mutex`
  std::mutex mutex;
  std::uint64_t done = 0;
  std::deque<std::function<void()>> queue;  // from `done` on
};

struct Streams {
  std::mutex mutex;
  std::map<void*, std::shared_ptr<Stream>> by_address;
  std::atomic<std::uint64_t> worked = 0;
};

Streams& TheStreams() {
  static Streams& streams = *new Streams();
  return streams;
}

std::shared_ptr<Stream> StreamAt(void* address) {
  const std::lock_guard lock(TheStreams().mutex);
  std::shared_ptr<Stream>& stream = TheStreams().by_address[address];
  if (stream == nullptr) stream = std::make_shared<Stream>();
  return stream;
}

}  // namespace

void QueueWork(void* stream, std::function<void()> work) {
  if (stream == nullptr) return work();
  const std::shared_ptr<Stream> queued = StreamAt(stream);
  const std::lock_guard lock(queued->mutex);
  if (queued->done == 0 && queued->queue.empty()) ++TheStreams().worked;
  queued->queue.push_back(std::move(work));
}

std::uint64_t QueuedWork(void* stream) {
  const std::shared_ptr<Stream> asked = StreamAt(stream);
  const std::lock_guard lock(asked->mutex);
  return asked->done + asked->queue.size();
}

void FinishWork(void* stream, std::uint64_t queued) {
  const std::shared_ptr<Stream> awaited = StreamAt(stream);
  const std::lock_guard in_order(awaited->works);
  for (;;) {
    std::function<void()> work;
    {
      const std::lock_guard lock(awaited->mutex);
      if (awaited->done >= queued) return;
      work = std::move(awaited->queue.front());
      awaited->queue.pop_front();
      ++awaited->done;
    }
    work();
  }
}

void ForgetStream(void* stream) {
  const std::lock_guard lock(TheStreams().mutex);
  const auto forgotten = TheStreams().by_address.find(stream);
  if (forgotten == TheStreams().by_address.end()) return;
  if (!forgotten->second->queue.empty()) std::abort();  // somebody destroys a stream that others use
  TheStreams().by_address.erase(forgotten);
}

std::uint64_t StreamsThatWorked() { return TheStreams().worked; }

}  // namespace gptvq::simt

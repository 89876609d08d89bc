#ifndef GPTVQ_SERVER_LAYER_UPLOADS_H_
#define GPTVQ_SERVER_LAYER_UPLOADS_H_

#include <chrono>
#include <compare>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "platform/object_store/artifact_store.h"
#include "server/layer_receiver.h"

namespace gptvq {

// Which upload: of these bytes, under this grant of this task. A later grant has another epoch, and nothing of an earlier one.
struct UploadKey {
  std::string task_id;
  std::int64_t epoch = 0;
  int layer = 0;
  Digest digest;

  friend auto operator<=>(const UploadKey&, const UploadKey&) = default;
};

struct LayerUploadsOptions {
  int max_parked = 8;  // each may hold a part of an S3 upload in memory, 8 MiB and more for large layers
  std::chrono::milliseconds keep_for{60'000};  // how long one waits for its worker to come back
};

// What calls that were cut left of the layers that they were receiving, so that the next call goes on there: the receivers
// themselves, with the bytes in the staging of the store and the state of their digest. They live as long as the process; who
// finds nothing begins anew. The oldest make place for new ones. Thread-safe. Owns a thread that drops those nobody came back
// for; borrows store and clock.
class LayerUploads {
 public:
  LayerUploads(ArtifactStore& store, Clock& clock, const LayerUploadsOptions& options);

  // A call that receives a layer, for as long as it lives. Another one about the same layer ends it by `cancel`, which must
  // neither block nor call back.
  class Call {
   public:
    Call(LayerUploads& uploads, UploadKey key, std::function<void()> cancel);
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    // A receiver at `offset`: a new one at 0, else what was parked. Errors: those of LayerReceiver::Open; OutOfRange
    // (CHUNK_OUT_OF_ORDER) when nothing was left at this offset.
    absl::StatusOr<LayerReceiver> Open(std::uint64_t offset);
    // Keeps what was received for the next call.
    void Park(LayerReceiver receiver);

   private:
    friend class LayerUploads;
    LayerUploads& uploads_;
    const UploadKey key_;
    const std::function<void()> cancel_;
  };

  // How many bytes the next call need not send again. Ends a call that still receives this layer, whose worker has given it up,
  // and waits a few seconds for it to park what it has; 0 when it does not end.
  std::uint64_t ReceivedBytes(const UploadKey& key);

 private:
  struct Parked {
    LayerReceiver receiver;
    MonotonicTime since;
  };

  std::optional<LayerReceiver> Take(const UploadKey& key);
  void DropWhenOld(const std::stop_token& stop);
  void DropOld();

  ArtifactStore& store_;
  Clock& clock_;
  const LayerUploadsOptions options_;
  std::mutex mutex_;
  std::condition_variable call_ended_;
  std::condition_variable_any has_parked_;
  // Guarded by mutex_:
  std::map<UploadKey, Parked> parked_;
  std::multimap<UploadKey, Call*> calls_;
  std::jthread dropper_;  // last: it uses the others
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_LAYER_UPLOADS_H_

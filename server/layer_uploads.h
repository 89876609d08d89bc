#ifndef GPTVQ_SERVER_LAYER_UPLOADS_H_
#define GPTVQ_SERVER_LAYER_UPLOADS_H_

#include <chrono>
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
#include "server/upload_records.h"

namespace gptvq {

struct LayerUploadsOptions {
  std::string records = "uploads/0000000000000000";  // the directory of UploadsDirectory
  int max_parked = 8;  // each may hold a part of an S3 upload in memory, 8 MiB and more for large layers
  std::chrono::milliseconds keep_for{60'000};  // how long one waits for its worker to come back
};

// What calls that were cut left of the layers that they were receiving, so that the next call goes on there: the receivers
// themselves, with every byte that arrived. The oldest make place for new ones, and those nobody came back for are dropped: then,
// as after the end of this process, what was saved of them is left in the store, up to 8 MiB less, until the garbage collector finds
// that the lease is over. Who finds nothing begins anew. Thread-safe. Owns a thread that drops; borrows store and clock.
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

    // A receiver at `offset`: a new one at 0, else what was parked or saved. Errors: those of LayerReceiver; OutOfRange
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
  // and waits a few seconds for it to park what it has; 0 when it does not end. Parks what it finds saved in the store. Errors:
  // Unavailable when the store did not answer.
  absl::StatusOr<std::uint64_t> ReceivedBytes(const UploadKey& key);

 private:
  struct Parked {
    LayerReceiver receiver;
    MonotonicTime since;
  };

  UploadName NameOf(const UploadKey& key) const { return {key.digest, UploadRecordKey(options_.records, key)}; }
  void Park(const UploadKey& key, LayerReceiver receiver);
  std::optional<LayerReceiver> TakeParked(const UploadKey& key);
  // What is parked, or else saved. Errors: Unavailable when the store did not answer.
  absl::StatusOr<std::optional<LayerReceiver>> Take(const UploadKey& key);
  std::optional<std::uint64_t> ParkedBytes(const UploadKey& key);
  void DropWhenOld(const std::stop_token& stop);
  void DropOld();

  ArtifactStore& store_;
  Clock& clock_;
  const LayerUploadsOptions options_;
  // Before mutex_: one at a time looks for what is saved, and whoever asks for the same finds it parked.
  std::mutex resuming_;
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

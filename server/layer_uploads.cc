#include "server/layer_uploads.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "platform/job/error_reason.h"
#include "platform/thread_name.h"

namespace gptvq {
namespace {

// A call that was cut ends as soon as its thread has stored the chunk that it is at.
constexpr std::chrono::seconds kCallEndsWithin(5);

}  // namespace

LayerUploads::LayerUploads(ArtifactStore& store, Clock& clock, const LayerUploadsOptions& options)
    : store_(store), clock_(clock), options_(options), dropper_([this](const std::stop_token& stop) {
        NameThisThread("upload-dropper");
        DropWhenOld(stop);
      }) {}

LayerUploads::Call::Call(LayerUploads& uploads, UploadKey key, std::function<void()> cancel)
    : uploads_(uploads), key_(std::move(key)), cancel_(std::move(cancel)) {
  const std::lock_guard lock(uploads_.mutex_);
  uploads_.calls_.emplace(key_, this);
}

LayerUploads::Call::~Call() {
  const std::lock_guard lock(uploads_.mutex_);
  std::erase_if(uploads_.calls_, [this](const auto& entry) { return entry.second == this; });
  uploads_.call_ended_.notify_all();
}

absl::StatusOr<LayerReceiver> LayerUploads::Call::Open(std::uint64_t offset) {
  if (offset == 0) {
    // What is left is of no use any more; of what is saved, opening frees it.
    if (std::optional<LayerReceiver> left = uploads_.TakeParked(key_)) left->Discard();
    return LayerReceiver::Open(uploads_.NameOf(key_), uploads_.store_);
  }
  GPTVQ_ASSIGN_OR_RETURN(std::optional<LayerReceiver> left, uploads_.Take(key_));
  if (left && left->received_bytes() == offset) return *std::move(left);
  const std::uint64_t left_bytes = left ? left->received_bytes() : 0;
  return Refuse(ErrorReason::kChunkOutOfOrder,
                absl::StrCat(left_bytes, " bytes are left of an earlier upload of layer ", key_.layer, ", not ", offset,
                             "; send it from its beginning"));
}

void LayerUploads::Call::Park(LayerReceiver receiver) { uploads_.Park(key_, std::move(receiver)); }

absl::StatusOr<std::uint64_t> LayerUploads::ReceivedBytes(const UploadKey& key) {
  {
    std::unique_lock lock(mutex_);
    for (auto [call, end] = calls_.equal_range(key); call != end; ++call) call->second->cancel_();
    if (!call_ended_.wait_for(lock, kCallEndsWithin, [&] { return !calls_.contains(key); })) return 0;
  }
  const std::lock_guard resuming(resuming_);
  if (const std::optional<std::uint64_t> bytes = ParkedBytes(key)) return *bytes;
  GPTVQ_ASSIGN_OR_RETURN(std::optional<LayerReceiver> saved, Take(key));
  if (!saved) return 0;
  const std::uint64_t saved_bytes = saved->received_bytes();
  Park(key, *std::move(saved));
  return saved_bytes;
}

void LayerUploads::Park(const UploadKey& key, LayerReceiver receiver) {
  std::vector<Parked> dropped;  // outside the lock: dropping one may ask a storage that is far away
  const std::lock_guard lock(mutex_);
  if (const auto older = parked_.find(key); older != parked_.end()) {
    dropped.push_back(std::move(older->second));
    parked_.erase(older);
  }
  while (!parked_.empty() && static_cast<int>(parked_.size()) >= options_.max_parked) {
    const auto oldest = std::min_element(parked_.begin(), parked_.end(),
                                         [](const auto& a, const auto& b) { return a.second.since < b.second.since; });
    dropped.push_back(std::move(oldest->second));
    parked_.erase(oldest);
  }
  if (options_.max_parked > 0) {
    parked_.emplace(key, Parked{std::move(receiver), clock_.MonotonicNow()});
    has_parked_.notify_one();
  }
}

std::optional<std::uint64_t> LayerUploads::ParkedBytes(const UploadKey& key) {
  const std::lock_guard lock(mutex_);
  const auto found = parked_.find(key);
  if (found == parked_.end()) return std::nullopt;
  return found->second.receiver.received_bytes();
}

std::optional<LayerReceiver> LayerUploads::TakeParked(const UploadKey& key) {
  const std::lock_guard lock(mutex_);
  const auto found = parked_.find(key);
  if (found == parked_.end()) return std::nullopt;
  std::optional<LayerReceiver> receiver(std::move(found->second.receiver));
  parked_.erase(found);
  return receiver;
}

absl::StatusOr<std::optional<LayerReceiver>> LayerUploads::Take(const UploadKey& key) {
  std::optional<LayerReceiver> parked = TakeParked(key);
  if (parked) return parked;
  absl::StatusOr<LayerReceiver> saved = LayerReceiver::Resume(NameOf(key), store_);
  if (saved.ok()) return std::optional<LayerReceiver>(*std::move(saved));
  // With what can not be read, whyever, nothing can be done but to begin anew.
  if (absl::IsUnavailable(saved.status())) return saved.status();
  return std::nullopt;
}

void LayerUploads::DropWhenOld(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      if (!has_parked_.wait(lock, stop, [this] { return !parked_.empty(); })) return;
    }
    clock_.Sleep(options_.keep_for / 4, stop);
    DropOld();
  }
}

void LayerUploads::DropOld() {
  std::vector<Parked> dropped;
  const std::lock_guard lock(mutex_);
  const MonotonicTime now = clock_.MonotonicNow();
  for (auto parked = parked_.begin(); parked != parked_.end();) {
    if (now - parked->second.since < options_.keep_for) {
      ++parked;
      continue;
    }
    dropped.push_back(std::move(parked->second));
    parked = parked_.erase(parked);
  }
}

}  // namespace gptvq

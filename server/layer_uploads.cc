#include "server/layer_uploads.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
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
  std::optional<LayerReceiver> left = uploads_.Take(key_);
  if (offset == 0) return LayerReceiver::Open(key_.digest, uploads_.store_);  // what is left is of no use any more
  if (left && left->received_bytes() == offset) return *std::move(left);
  const std::uint64_t left_bytes = left ? left->received_bytes() : 0;
  return Refuse(ErrorReason::kChunkOutOfOrder,
                absl::StrCat("of an earlier upload of layer ", key_.layer, " ", left_bytes, " bytes are left, not ",
                             offset, "; send it from its beginning"));
}

void LayerUploads::Call::Park(LayerReceiver receiver) {
  std::vector<Parked> dropped;  // outside the lock: dropping one may ask a storage that is far away
  const std::lock_guard lock(uploads_.mutex_);
  auto& parked = uploads_.parked_;
  if (const auto older = parked.find(key_); older != parked.end()) {
    dropped.push_back(std::move(older->second));
    parked.erase(older);
  }
  while (!parked.empty() && static_cast<int>(parked.size()) >= uploads_.options_.max_parked) {
    const auto oldest = std::min_element(parked.begin(), parked.end(),
                                         [](const auto& a, const auto& b) { return a.second.since < b.second.since; });
    dropped.push_back(std::move(oldest->second));
    parked.erase(oldest);
  }
  if (uploads_.options_.max_parked > 0) {
    parked.emplace(key_, Parked{std::move(receiver), uploads_.clock_.MonotonicNow()});
    uploads_.has_parked_.notify_one();
  }
}

std::uint64_t LayerUploads::ReceivedBytes(const UploadKey& key) {
  std::unique_lock lock(mutex_);
  for (auto [call, end] = calls_.equal_range(key); call != end; ++call) call->second->cancel_();
  call_ended_.wait_for(lock, kCallEndsWithin, [&] { return !calls_.contains(key); });
  const auto found = parked_.find(key);
  return found == parked_.end() ? 0 : found->second.receiver.received_bytes();
}

std::optional<LayerReceiver> LayerUploads::Take(const UploadKey& key) {
  const std::lock_guard lock(mutex_);
  const auto found = parked_.find(key);
  if (found == parked_.end()) return std::nullopt;
  std::optional<LayerReceiver> receiver(std::move(found->second.receiver));
  parked_.erase(found);
  return receiver;
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

#ifndef GPTVQ_TESTS_SUPPORT_FORWARDING_OBJECT_STORE_H_
#define GPTVQ_TESTS_SUPPORT_FORWARDING_OBJECT_STORE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "platform/object_store/object_store.h"

namespace gptvq {

// Does whatever another store does: for fakes that differ from it in one thing. Borrows that store.
class ForwardingObjectStore : public ObjectStore {
 public:
  explicit ForwardingObjectStore(ObjectStore& target) : target_(target) {}

  std::string_view name() const override { return target_.name(); }
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(std::string_view key) override { return target_.Create(key); }
  absl::StatusOr<std::unique_ptr<ResumableFile>> CreateResumable(std::string_view key) override {
    return target_.CreateResumable(key);
  }
  absl::StatusOr<std::unique_ptr<ResumableFile>> Resume(std::string_view key, std::string_view ticket) override {
    return target_.Resume(key, ticket);
  }
  absl::Status PutNew(std::string_view key, absl::Span<const std::byte> bytes) override {
    return target_.PutNew(key, bytes);
  }
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view key) const override {
    return target_.Open(key);
  }
  absl::StatusOr<ObjectInfo> Stat(std::string_view key) const override { return target_.Stat(key); }
  absl::StatusOr<std::vector<ObjectInfo>> List(std::string_view directory, ListScope scope) const override {
    return target_.List(directory, scope);
  }
  absl::Status Delete(std::string_view key) override { return target_.Delete(key); }
  absl::Status RemoveAbandonedWrites(ListScope scope) override { return target_.RemoveAbandonedWrites(scope); }

 protected:
  ObjectStore& target() const { return target_; }

 private:
  ObjectStore& target_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_FORWARDING_OBJECT_STORE_H_

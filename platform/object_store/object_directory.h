#ifndef GPTVQ_PLATFORM_OBJECT_STORE_OBJECT_DIRECTORY_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_OBJECT_DIRECTORY_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/file.h"
#include "platform/object_store/object_store.h"

namespace gptvq {

// The objects at the root of a store as the directory that core/ reads models from and writes results to.
// Owns the store. Thread-safe. Files may outlive it.
class ObjectDirectory final : public ReadableDirectory, public WritableDirectory {
 public:
  explicit ObjectDirectory(std::unique_ptr<ObjectStore> store) : store_(std::move(store)) {}

  std::string_view name() const override { return store_->name(); }
  absl::StatusOr<std::vector<std::string>> List() const override;
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view file_name) const override;
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(std::string_view file_name) override;
  absl::Status PutNew(std::string_view file_name, absl::Span<const std::byte> bytes) override;

 private:
  const std::unique_ptr<ObjectStore> store_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_OBJECT_DIRECTORY_H_

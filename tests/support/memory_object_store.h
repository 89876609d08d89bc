#ifndef GPTVQ_TESTS_SUPPORT_MEMORY_OBJECT_STORE_H_
#define GPTVQ_TESTS_SUPPORT_MEMORY_OBJECT_STORE_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "platform/object_store/object_store.h"

namespace gptvq {

// Objects in memory, with the semantics of the interface. Thread-safe. Must outlive the files being written into it.
class MemoryObjectStore final : public ObjectStore {
 public:
  std::string_view name() const override { return "memory"; }
  absl::StatusOr<std::unique_ptr<WritableFile>> Create(std::string_view key) override;
  absl::StatusOr<std::unique_ptr<ResumableFile>> CreateResumable(std::string_view key) override;
  absl::StatusOr<std::unique_ptr<ResumableFile>> Resume(std::string_view key, std::string_view ticket) override;
  absl::Status PutNew(std::string_view key, absl::Span<const std::byte> bytes) override;
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view key) const override;
  absl::StatusOr<ObjectInfo> Stat(std::string_view key) const override;
  absl::StatusOr<std::vector<ObjectInfo>> List(std::string_view directory, ListScope scope) const override;
  absl::Status Delete(std::string_view key) override;
  absl::Status RemoveAbandonedWrites(ListScope) override { return absl::OkStatus(); }

  void Put(std::string_view key, std::string contents);

  // How many objects are saved that were neither closed nor discarded.
  std::size_t saved_count() const;

 private:
  class NewObject;

  mutable std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> objects_;
  std::map<std::string, std::string, std::less<>> saved_;  // the contents so far, by the name of the write
  int next_name_ = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_MEMORY_OBJECT_STORE_H_

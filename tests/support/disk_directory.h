#ifndef GPTVQ_TESTS_SUPPORT_DISK_DIRECTORY_H_
#define GPTVQ_TESTS_SUPPORT_DISK_DIRECTORY_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/file.h"

namespace gptvq {

// A folder of the machine the tests run on, for reading. Thread-safe.
class DiskDirectory final : public ReadableDirectory {
 public:
  explicit DiskDirectory(std::string path) : path_(std::move(path)) {}

  std::string_view name() const override { return path_; }
  absl::StatusOr<std::vector<std::string>> List() const override;
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view file_name) const override;

 private:
  const std::string path_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_DISK_DIRECTORY_H_

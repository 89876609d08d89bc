#include "tests/oracle/model_under_test.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/status/statusor.h"
#include "core/cpu/cpu_backend.h"
#include "platform/object_store/object_uri.h"
#include "platform/object_store/storage.h"

namespace gptvq {
namespace {

template <typename T>
T ValueOrExit(absl::StatusOr<T> value) {
  ExitUnlessOk(value.status());
  return *std::move(value);
}

ObjectUri UriOf(const std::string& path) { return ValueOrExit(ObjectUri::ParseArgument(path)); }

}  // namespace

void ExitUnlessOk(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

std::unique_ptr<Backend> MakeTestBackend() { return MakeCpuBackend({.thread_count = 2}); }

std::unique_ptr<ReadableDirectory> OpenDirectory(const std::string& path) {
  return ValueOrExit(Storage(StorageOptions()).OpenDirectory(UriOf(path)));
}

std::unique_ptr<WritableDirectory> CreateDirectory(const std::string& path) {
  return ValueOrExit(Storage(StorageOptions()).CreateDirectory(UriOf(path)));
}

TokenRows::TokenRows(const std::string& path) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line); ++row_count) {
    std::istringstream words(line);
    for (std::int32_t id = 0; words >> id;) ids.push_back(id);
  }
  if (row_count == 0 || ids.empty() || ids.size() % static_cast<std::size_t>(row_count) != 0) {
    ExitUnlessOk(absl::InvalidArgumentError(path + ": not rows of token ids of one length"));
  }
}

MatrixView<const std::int32_t> TokenRows::view() const {
  return {ids.data(), row_count, static_cast<std::int64_t>(ids.size()) / row_count};
}

}  // namespace gptvq

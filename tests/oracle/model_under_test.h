#ifndef GPTVQ_TESTS_ORACLE_MODEL_UNDER_TEST_H_
#define GPTVQ_TESTS_ORACLE_MODEL_UNDER_TEST_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/backend/backend.h"
#include "core/base/file.h"
#include "core/base/matrix_view.h"

namespace gptvq {

// What the small programs of this folder share: directories and rows of token ids from the command line. Where
// something is wrong they end the process with status 1 and a line on stderr.

// Ends the process unless the status is OK.
void ExitUnlessOk(const absl::Status& status);

// The CPU with two threads.
std::unique_ptr<Backend> MakeTestBackend();

std::unique_ptr<ReadableDirectory> OpenDirectory(const std::string& path);
std::unique_ptr<WritableDirectory> CreateDirectory(const std::string& path);

// Rows of token ids, all of one length.
struct TokenRows {
  // A text file with one row a line.
  explicit TokenRows(const std::string& path);

  MatrixView<const std::int32_t> view() const;

  std::vector<std::int32_t> ids;
  std::int64_t row_count = 0;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_ORACLE_MODEL_UNDER_TEST_H_

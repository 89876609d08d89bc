#ifndef GPTVQ_TESTS_ORACLE_MODEL_UNDER_TEST_H_
#define GPTVQ_TESTS_ORACLE_MODEL_UNDER_TEST_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backend/backend.h"
#include "core/base/matrix_view.h"
#include "core/format/checkpoint.h"
#include "core/model/model_config.h"

namespace gptvq {

// What the small programs of this folder share: a model directory and rows of token ids from the command line. They end
// the process with status 1 and a line on stderr where something is wrong.

struct ModelUnderTest {
  explicit ModelUnderTest(const std::string& directory);

  ModelConfig config;
  std::optional<Checkpoint> checkpoint;
  std::unique_ptr<Backend> backend;
};

// Rows of token ids, all of one length.
struct TokenRows {
  // A text file with one row a line.
  explicit TokenRows(const std::string& path);

  MatrixView<const std::int32_t> view() const;

  std::vector<std::int32_t> ids;
  std::int64_t row_count = 0;
};

// Ends the process unless the status is OK.
void ExitUnlessOk(const absl::Status& status);

}  // namespace gptvq

#endif  // GPTVQ_TESTS_ORACLE_MODEL_UNDER_TEST_H_

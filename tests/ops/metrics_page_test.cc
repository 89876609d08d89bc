#include "tests/ops/metrics_page.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace gptvq {
namespace {

TEST(MetricsPage, InTheDocumentsIsWhatTheBinariesRegister) {
  std::ifstream file(std::string(GPTVQ_SOURCE_DIR) + "/docs/metrics.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};

  EXPECT_EQ(page, MetricsPage()) << "write it anew: print_metrics_page > docs/metrics.md";
}

}  // namespace
}  // namespace gptvq

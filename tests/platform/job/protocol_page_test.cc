#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "platform/job/error_reason.h"

namespace gptvq {
namespace {

// docs/protocol.md, "Reasons": the rows begin with the reasons and codes of error_reason.h, in this order, and no others.
TEST(ProtocolPage, ListsEveryReasonWithItsCode) {
  std::ifstream file(std::string(GPTVQ_SOURCE_DIR) + "/docs/protocol.md");
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::size_t place = page.find("## Reasons");
  ASSERT_NE(place, std::string::npos);

  for (ErrorReason reason : kAllErrorReasons) {
    const std::string row =
        "\n| " + std::string(Name(reason)) + " | " + absl::StatusCodeToString(CodeOf(reason)) + " | ";
    const std::size_t found = page.find(row, place);
    ASSERT_NE(found, std::string::npos) << row;
    place = found;
  }
}

}  // namespace
}  // namespace gptvq

#include "client/exit_code.h"

#include <map>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

// docs/adr/0001 and docs/cli.md, by what each code means.
TEST(ExitCode, EveryStatusCodeHasTheDocumentedOne) {
  const std::map<absl::StatusCode, int> documented = {
      {absl::StatusCode::kOk, 0},
      {absl::StatusCode::kCancelled, 5},
      {absl::StatusCode::kUnknown, 70},
      {absl::StatusCode::kInvalidArgument, 6},
      {absl::StatusCode::kDeadlineExceeded, 4},  // no answer; 124 is --timeout alone
      {absl::StatusCode::kNotFound, 3},
      {absl::StatusCode::kAlreadyExists, 6},
      {absl::StatusCode::kPermissionDenied, 6},
      {absl::StatusCode::kResourceExhausted, 7},
      {absl::StatusCode::kFailedPrecondition, 6},
      {absl::StatusCode::kAborted, 70},
      {absl::StatusCode::kOutOfRange, 6},
      {absl::StatusCode::kUnimplemented, 6},  // a model or file of a kind that can not be used
      {absl::StatusCode::kInternal, 70},
      {absl::StatusCode::kUnavailable, 4},
      {absl::StatusCode::kDataLoss, 6},
      {absl::StatusCode::kUnauthenticated, 6},
  };
  ASSERT_EQ(documented.size(), 17u) << "gRPC and abseil have 17 codes, 0 to 16";

  for (const auto& [code, exit_code] : documented) {
    EXPECT_EQ(static_cast<int>(ExitCodeFor(absl::Status(code, "why"))), exit_code) << code;
  }
}

TEST(ExitCode, CodeOfANewerPeerIsABug) {
  EXPECT_EQ(ExitCodeFor(absl::Status(static_cast<absl::StatusCode>(99), "new")), ExitCode::kInternal);
}

}  // namespace
}  // namespace gptvq

#include "platform/job_store/schema_steps.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace gptvq {
namespace {

constexpr std::array<const char*, 3> kSteps = {"one", "two", "three"};

TEST(RunSchemaSteps, RunsWhatIsMissingInOrder) {
  std::vector<std::pair<std::int64_t, std::string>> run;
  const auto note = [&](std::int64_t step, const char* sql) {
    run.emplace_back(step, sql);
    return absl::OkStatus();
  };

  ASSERT_TRUE(RunSchemaSteps(1, kSteps, note).ok());
  ASSERT_TRUE(RunSchemaSteps(3, kSteps, note).ok());

  EXPECT_EQ(run, (std::vector<std::pair<std::int64_t, std::string>>{{2, "two"}, {3, "three"}}));
}

TEST(RunSchemaSteps, StopsAtTheStepThatFailsAndNamesIt) {
  int run = 0;

  const absl::Status status = RunSchemaSteps(0, kSteps, [&](std::int64_t step, const char*) {
    ++run;
    return step == 2 ? absl::UnavailableError("disk away") : absl::OkStatus();
  });

  EXPECT_EQ(status, absl::UnavailableError("schema step 2: disk away"));
  EXPECT_EQ(run, 2);
}

TEST(RunSchemaSteps, RefusesANewerSchemaNamingBothNumbers) {
  const absl::Status status = RunSchemaSteps(4, kSteps, [](std::int64_t, const char*) { return absl::OkStatus(); });

  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("schema 4"), std::string::npos);
  EXPECT_NE(status.message().find("up to 3"), std::string::npos);
}

}  // namespace
}  // namespace gptvq

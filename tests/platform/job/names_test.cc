#include <gtest/gtest.h>

#include <set>

#include "platform/job/error_reason.h"
#include "platform/job/job.h"

namespace gptvq {
namespace {

template <typename All>
void ExpectDistinctNames(const All& all) {
  std::set<std::string_view> names;
  for (const auto value : all) {
    EXPECT_FALSE(Name(value).empty());
    EXPECT_TRUE(names.insert(Name(value)).second) << Name(value);
  }
}

TEST(Names, OfEveryEnumAreDistinct) {
  ExpectDistinctNames(kAllTaskKinds);
  ExpectDistinctNames(kAllTaskStates);
  ExpectDistinctNames(kAllTaskTriggers);
  ExpectDistinctNames(kAllTaskPhases);
  ExpectDistinctNames(kAllAuditOutcomes);
  ExpectDistinctNames(kAllJobStates);
  ExpectDistinctNames(kAllErrorReasons);
  ExpectDistinctNames(std::array{FailureClass::kInfra, FailureClass::kTransient, FailureClass::kDevice,
                                 FailureClass::kInput, FailureClass::kFatal, FailureClass::kBug});
  ExpectDistinctNames(std::array{EvaluationTarget::kSource, EvaluationTarget::kQuantized});
  ExpectDistinctNames(std::array{PropagationMode::kSequential, PropagationMode::kParallel});
}

TEST(Names, AreParsedBack) {
  for (TaskTrigger trigger : kAllTaskTriggers) EXPECT_EQ(ParseTaskTrigger(Name(trigger)), trigger);
  for (ErrorReason reason : kAllErrorReasons) EXPECT_EQ(ParseErrorReason(Name(reason)), reason);
  EXPECT_EQ(ParseTaskTrigger("Grant"), std::nullopt);
  EXPECT_EQ(ParseErrorReason(""), std::nullopt);
}

TEST(ErrorReasonOf, IsAbsentFromStatusesThatAreNoRefusals) {
  EXPECT_EQ(ReasonOf(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(ReasonOf(absl::NotFoundError("x")), std::nullopt);
  EXPECT_EQ(RetryAfter(absl::NotFoundError("x")), std::nullopt);
}

TEST(ErrorReasonOf, EveryReasonIsAnError) {
  for (ErrorReason reason : kAllErrorReasons) {
    const absl::Status status = Refuse(reason, "m");
    EXPECT_EQ(status.code(), CodeOf(reason));
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(ReasonOf(status), reason);
  }
}

}  // namespace
}  // namespace gptvq

#include "worker/task_executor.h"

#include "core/backend/device_lost.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

TEST(FailureClassOf, FollowsFromTheCode) {
  EXPECT_EQ(FailureClassOf(absl::UnavailableError("store is away")), FailureClass::kInfra);
  EXPECT_EQ(FailureClassOf(absl::ResourceExhaustedError("disk full")), FailureClass::kInfra);
  EXPECT_EQ(FailureClassOf(absl::NotFoundError("no config.json")), FailureClass::kInput);
  EXPECT_EQ(FailureClassOf(absl::InvalidArgumentError("weights are not finite")), FailureClass::kInput);
  EXPECT_EQ(FailureClassOf(absl::DataLossError("digest")), FailureClass::kTransient);
  EXPECT_EQ(FailureClassOf(absl::UnimplementedError("no such task")), FailureClass::kFatal);
  EXPECT_EQ(FailureClassOf(absl::AlreadyExistsError("another result")), FailureClass::kFatal);
  EXPECT_EQ(FailureClassOf(absl::InternalError("invariant")), FailureClass::kBug);
}

TEST(FailureClassOf, LostDeviceIsNoBug) { EXPECT_EQ(FailureClassOf(DeviceLostError("sticky")), FailureClass::kDevice); }

}  // namespace
}  // namespace gptvq

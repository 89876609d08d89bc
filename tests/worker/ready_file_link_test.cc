#include "worker/ready_file_link.h"

#include <filesystem>
#include <optional>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platform/job/error_reason.h"
#include "tests/support/temporary_directory.h"
#include "tests/worker/fake_coordinator.h"

namespace gptvq {
namespace {

class ReadyFileLinkTest : public testing::Test {
 protected:
  bool IsReady() const { return std::filesystem::exists(path_); }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_.Join("ready");
  FakeCoordinator coordinator_;
  std::ostringstream log_text_;
  Logger log_{LogLevel::kDebug, log_text_};
  std::optional<ReadyFileLink> link_{std::in_place, coordinator_, path_, log_};
  const Lease lease_ = AGrant("A").lease;
};

TEST_F(ReadyFileLinkTest, IsThereOnceTheCoordinatorHasAnswered) {
  EXPECT_FALSE(IsReady());

  EXPECT_TRUE(link_->Register(std::stop_token()).ok());

  EXPECT_TRUE(IsReady());
}

TEST_F(ReadyFileLinkTest, GoesWithTheCoordinatorAndComesBackWithIt) {
  EXPECT_TRUE(link_->Register(std::stop_token()).ok());
  for (const absl::Status& silence : {absl::UnavailableError("away"), absl::DeadlineExceededError("silent")}) {
    coordinator_.AnswerNext("renew", silence);

    EXPECT_FALSE(link_->RenewLease(lease_, TaskProgress{}, std::stop_token()).ok());
    EXPECT_FALSE(IsReady()) << silence;

    EXPECT_TRUE(link_->RenewLease(lease_, TaskProgress{}, std::stop_token()).ok());
    EXPECT_TRUE(IsReady()) << silence;
  }
}

TEST_F(ReadyFileLinkTest, ARefusalIsAnAnswer) {
  coordinator_.AnswerNext("complete", Refuse(ErrorReason::kStaleEpoch, "stale"));

  EXPECT_FALSE(link_->CompleteTask(lease_, TaskResult{}, std::stop_token()).ok());

  EXPECT_TRUE(IsReady());
}

TEST_F(ReadyFileLinkTest, ACallThatTheWorkerStoppedTellsNothing) {
  EXPECT_TRUE(link_->Register(std::stop_token()).ok());
  coordinator_.AnswerNext("release", absl::CancelledError());

  EXPECT_FALSE(link_->ReleaseTask(lease_, std::stop_token()).ok());

  EXPECT_TRUE(IsReady());
}

TEST_F(ReadyFileLinkTest, StaysAwayWhileTheWorkerDrains) {
  EXPECT_TRUE(link_->Register(std::stop_token()).ok());

  link_->RemoveFile();
  EXPECT_FALSE(IsReady());

  EXPECT_TRUE(link_->ReleaseTask(lease_, std::stop_token()).ok());
  EXPECT_FALSE(IsReady());
}

TEST_F(ReadyFileLinkTest, LeavesNoFileOfItsOwnOrOfAnEarlierRun) {
  EXPECT_TRUE(link_->Register(std::stop_token()).ok());
  link_.reset();
  EXPECT_FALSE(IsReady());

  directory_.WriteFile("ready", "");
  link_.emplace(coordinator_, path_, log_);
  EXPECT_FALSE(IsReady());
}

TEST_F(ReadyFileLinkTest, APlaceThatCannotBeWrittenIsLoggedOnceAndChangesNoAnswer) {
  link_.emplace(coordinator_, directory_.Join("missing/ready"), log_);

  EXPECT_TRUE(link_->Register(std::stop_token()).ok());
  EXPECT_TRUE(link_->RenewLease(lease_, TaskProgress{}, std::stop_token()).ok());

  const std::string log = log_text_.str();
  const std::size_t first = log.find("cannot make the ready file");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(log.find("cannot make the ready file", first + 1), std::string::npos);
}

TEST_F(ReadyFileLinkTest, GoesAfterThreeTasksThatTheDeviceFailedUntilOneGetsFurther) {
  const auto fail = [&](FailureClass failure_class) {
    EXPECT_TRUE(link_->FailTask(lease_, {failure_class, "message"}, std::stop_token()).ok());
  };
  for (int i = 0; i < 2; ++i) fail(FailureClass::kDevice);
  fail(FailureClass::kInput);
  EXPECT_TRUE(IsReady());

  fail(FailureClass::kDevice);
  EXPECT_FALSE(IsReady());
  EXPECT_TRUE(link_->RenewLease(lease_, TaskProgress{}, std::stop_token()).ok());
  EXPECT_FALSE(IsReady());

  EXPECT_TRUE(link_->CompleteTask(lease_, TaskResult{}, std::stop_token()).ok());
  EXPECT_TRUE(IsReady());
}

TEST_F(ReadyFileLinkTest, IsNotThereWhileNoSlotMayWork) {
  bool may_work = false;
  link_.emplace(coordinator_, path_, log_, [&] { return may_work; });

  EXPECT_TRUE(link_->Register(std::stop_token()).ok());
  EXPECT_FALSE(IsReady());

  may_work = true;
  EXPECT_TRUE(link_->Register(std::stop_token()).ok());
  EXPECT_TRUE(IsReady());
}

}  // namespace
}  // namespace gptvq

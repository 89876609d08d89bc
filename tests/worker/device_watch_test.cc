#include "worker/device_watch.h"

#include <atomic>
#include <optional>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/worker/fake_device.h"

namespace gptvq {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

class DeviceWatchTest : public testing::Test {
 protected:
  // Two slots; the second says nothing of its health.
  void Watch() {
    watch_.emplace(std::vector<WatchedDevice>{device_.Watched("gpu:0"), {"cpu:0", nullptr, nullptr}}, clock_, log_,
                   metrics_);
    watch_->Start(seconds(1));
  }

  FakeDevice device_;
  FakeClock clock_;
  std::ostringstream log_text_;
  Logger log_{LogLevel::kDebug, log_text_};
  MetricsRegistry registry_{"worker"};
  WorkerMetrics metrics_{registry_};
  std::optional<DeviceWatch> watch_;
};

TEST_F(DeviceWatchTest, ReadsBeforeAnythingCanBeAsked) {
  device_.Say({.condition = DeviceCondition::kReset, .detail = "Xid 79"});

  Watch();

  EXPECT_FALSE(watch_->MayTakeTask(0));
  EXPECT_TRUE(watch_->MayTakeTask(1));
  EXPECT_TRUE(watch_->AnyMayTakeTask());
  EXPECT_THAT(watch_->Report(), ElementsAre(DeviceHealth{"gpu:0", DeviceCondition::kReset, 0, "Xid 79"},
                                            DeviceHealth{"cpu:0", DeviceCondition::kUnknown, 0, ""}));
}

TEST_F(DeviceWatchTest, ARebootOfTheNodeTakesEverySlotOut) {
  device_.Say({.condition = DeviceCondition::kReboot});

  Watch();

  EXPECT_FALSE(watch_->MayTakeTask(1));
  EXPECT_FALSE(watch_->AnyMayTakeTask());
}

TEST_F(DeviceWatchTest, TellsWhenASlotGoesOutAndComesBack) {
  Watch();
  std::atomic<int> told = 0;
  watch_->OnChange([&] {
    ++told;
    told.notify_all();
  });

  device_.Say({.condition = DeviceCondition::kDrain});
  clock_.AwaitSleepers(1);
  clock_.Advance(seconds(1));
  told.wait(0);
  EXPECT_FALSE(watch_->MayTakeTask(0));

  device_.Say({.condition = DeviceCondition::kHealthy});
  clock_.AwaitSleepers(1);
  clock_.Advance(seconds(1));
  told.wait(1);
  EXPECT_TRUE(watch_->MayTakeTask(0));
  watch_->OnChange(nullptr);
}

TEST_F(DeviceWatchTest, ComparesWithAReadingThatBeginsAfterTheWork) {
  device_.Say({.condition = DeviceCondition::kHealthy, .uncorrected_errors = 5, .faults = 2});
  Watch();
  const DeviceWatch::Mark mark = watch_->MarkOf(0);

  EXPECT_TRUE(watch_->CheckSince(0, mark).ok());
  device_.Say({.condition = DeviceCondition::kHealthy, .uncorrected_errors = 6, .faults = 2});
  const absl::Status erred = watch_->CheckSince(0, mark);
  device_.Say({.condition = DeviceCondition::kHealthy, .uncorrected_errors = 5, .faults = 3, .detail = "Xid 48"});
  const absl::Status at_fault = watch_->CheckSince(0, mark);
  device_.Say({.condition = DeviceCondition::kReset, .uncorrected_errors = 5, .faults = 2, .detail = "lost"});
  const absl::Status out = watch_->CheckSince(0, mark);
  device_.Say({.condition = DeviceCondition::kDrain, .uncorrected_errors = 5, .faults = 2});
  const absl::Status draining = watch_->CheckSince(0, mark);

  for (const absl::Status& fault : {erred, at_fault, out}) EXPECT_TRUE(IsDeviceFault(fault)) << fault;
  EXPECT_THAT(erred.message(), HasSubstr("1 uncorrected memory error"));
  EXPECT_THAT(at_fault.message(), HasSubstr("Xid 48"));
  EXPECT_THAT(out.message(), HasSubstr("lost"));
  EXPECT_TRUE(draining.ok()) << draining;  // it works on to the end
  EXPECT_TRUE(watch_->CheckSince(1, {}).ok());
}

TEST_F(DeviceWatchTest, ASlotThatFailedItsTestStaysOut) {
  device_.FailTests(absl::InternalError("2 + 2 = 5"));
  Watch();

  EXPECT_FALSE(watch_->Test(0).ok());
  EXPECT_TRUE(watch_->Test(1).ok());
  clock_.AwaitSleepers(1);
  clock_.Advance(seconds(1));  // the device itself finds nothing wrong
  EXPECT_TRUE(watch_->CheckSince(0, {}).ok());

  EXPECT_EQ(watch_->Report()[0].condition, DeviceCondition::kFailedSelfTest);
  EXPECT_EQ(watch_->Report()[0].detail, "2 + 2 = 5");
  EXPECT_FALSE(watch_->MayTakeTask(0));
}

TEST(DeviceReading, ATeamIsAsItsGravestDevice) {
  const DeviceReading team =
      Combine({{.condition = DeviceCondition::kHealthy, .uncorrected_errors = 1},
               {.condition = DeviceCondition::kReset, .faults = 1, .detail = "Xid 79"},
               {.condition = DeviceCondition::kDrain, .uncorrected_errors = 2, .detail = "old"}});

  EXPECT_EQ(team.condition, DeviceCondition::kReset);
  EXPECT_EQ(team.detail, "Xid 79");
  EXPECT_EQ(team.uncorrected_errors, 3u);
  EXPECT_EQ(team.faults, 1u);
}

}  // namespace
}  // namespace gptvq

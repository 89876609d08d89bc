#include "platform/device_choice.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using Kind = DeviceChoice::Kind;

TEST(DeviceChoice, NamesThePlaceAndTheGpus) {
  EXPECT_EQ(*ParseDeviceChoice("auto"), (DeviceChoice{Kind::kAuto, {}}));
  EXPECT_EQ(*ParseDeviceChoice("cpu"), (DeviceChoice{Kind::kCpu, {}}));
  EXPECT_EQ(*ParseDeviceChoice("cuda"), (DeviceChoice{Kind::kCuda, {}}));
  EXPECT_EQ(*ParseDeviceChoice("cuda:3"), (DeviceChoice{Kind::kCuda, {3}}));
  EXPECT_EQ(*ParseDeviceChoice("cuda:2,0,63"), (DeviceChoice{Kind::kCuda, {2, 0, 63}}));
}

TEST(DeviceChoice, SaysWhatItExpectedOfAnythingElse) {
  for (const char* text : {"", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:64", "cuda:0,", "cuda:,1", "cuda:0,0",
                           "cuda0", "cpu:0", " cpu", "cuda:1 ", "cuda:99999999999999999999"}) {
    const absl::StatusOr<DeviceChoice> choice = ParseDeviceChoice(text);

    ASSERT_FALSE(choice.ok()) << text;
    EXPECT_EQ(choice.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(choice.status().message()), testing::HasSubstr("must be auto, cpu, cuda")) << text;
  }
}

}  // namespace
}  // namespace gptvq

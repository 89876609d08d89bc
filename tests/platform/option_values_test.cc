#include "platform/option_values.h"

#include <limits>

#include "gtest/gtest.h"

namespace gptvq {
namespace {

using std::chrono::milliseconds;

TEST(ParseHostPort, TakesNamesAndBothAddressFamilies) {
  EXPECT_EQ(ParseHostPort("localhost:0").value(), (HostPort{"localhost", 0}));
  EXPECT_EQ(ParseHostPort("[::1]:65535").value(), (HostPort{"::1", 65535}));
  EXPECT_EQ(ParseHostPort("[::1]:65535")->ToString(), "[::1]:65535");
  for (const char* text : {"", "host", ":1", "host:", "host:65536", "host:-1", "host:+1", "host: 1", "::1:5",
                           "[host]:1", "a/b:1", "user@host:1", "[::1:1"}) {
    EXPECT_FALSE(ParseHostPort(text).ok()) << text;
  }
}

TEST(ParseRpcTarget, TakesOneAddressOrSeveralLiterals) {
  EXPECT_EQ(ParseRpcTarget("host:50051").value(), "host:50051");
  EXPECT_EQ(ParseRpcTarget("unix:/run/gptvq.sock").value(), "unix:/run/gptvq.sock");
  EXPECT_EQ(ParseRpcTarget("10.0.0.1:1,10.0.0.2:2").value(), "10.0.0.1:1,10.0.0.2:2");
  EXPECT_FALSE(ParseRpcTarget("10.0.0.1:1,").ok());
  EXPECT_FALSE(ParseRpcTarget("10.0.0.1:1,host:2").ok());
  EXPECT_FALSE(ParseRpcTarget("10.0.0.1:1,unix:/x").ok());
}

TEST(ParseRpcAddress, TakesSocketsByPath) {
  EXPECT_EQ(ParseRpcAddress("unix:/run/gptvq.sock").value(), "unix:/run/gptvq.sock");
  EXPECT_EQ(ParseRpcAddress("host:50051").value(), "host:50051");
  EXPECT_FALSE(ParseRpcAddress("unix:").ok());
  EXPECT_FALSE(ParseRpcAddress("unix:" + std::string(108, 'a')).ok());
  EXPECT_FALSE(ParseRpcAddress("dns:///host:1").ok());
}

TEST(ParseDuration, RefusesWhatIsNotAWaitOfWholeMilliseconds) {
  EXPECT_EQ(ParseDuration("500ms").value(), milliseconds(500));
  EXPECT_EQ(ParseDuration("1h30m").value(), milliseconds(5400000));
  EXPECT_EQ(ParseDuration("0").value(), milliseconds(0));
  for (const char* text : {"", "5", "-1s", "inf", "1us", "100000000h", "s"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(ParseByteSize, KnowsBothSystemsOfUnitsAndRefusesOverflow) {
  EXPECT_EQ(ParseByteSize("4096").value(), 4096u);
  EXPECT_EQ(ParseByteSize("64KiB").value(), 65536u);
  EXPECT_EQ(ParseByteSize("10GB").value(), 10'000'000'000u);
  EXPECT_EQ(ParseByteSize("18446744073709551615").value(), std::numeric_limits<std::uint64_t>::max());
  for (const char* text : {"", "KiB", "-1", "1.5GiB", "10 GB", "16777216TiB", "1PB", "1K"}) {
    EXPECT_FALSE(ParseByteSize(text).ok()) << text;
  }
}

TEST(ParseNumber, RefusesWhatIsNotFinite) {
  constexpr double kMax = std::numeric_limits<double>::infinity();
  EXPECT_EQ(ParseNumber("1e-3", {0, kMax}).value(), 1e-3);
  for (const char* text : {"nan", "inf", "1e400", "", "0x", "-1", "1,5"}) {
    EXPECT_FALSE(ParseNumber(text, {0, kMax}).ok()) << text;
  }
}

}  // namespace
}  // namespace gptvq

#include "platform/log.h"

#include <cstdint>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace gptvq {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;

TEST(Logger, WritesOneLineOfKeysAndValues) {
  std::ostringstream out;
  Logger log(LogLevel::kInfo, out);

  log.Info("lease granted", {{"task", "3f2a"}, {"epoch", std::int64_t{7}}, {"share", 0.5}, {"resumed", true}});

  EXPECT_THAT(out.str(), MatchesRegex("time=[0-9]+-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+\\.[0-9]+Z level=info "
                                      "msg=\"lease granted\" task=3f2a epoch=7 share=0\\.5 resumed=true\n"));
}

TEST(Logger, DropsWhatIsBelowTheMinimum) {
  std::ostringstream out;
  Logger log(LogLevel::kWarning, out);

  log.Debug("d");
  log.Info("i");
  log.Warning("w");
  log.Error("e");

  EXPECT_THAT(out.str(), HasSubstr("level=warning msg=w\n"));
  EXPECT_THAT(out.str(), EndsWith("level=error msg=e\n"));
  EXPECT_THAT(out.str(), Not(HasSubstr("msg=i")));
}

TEST(Logger, TextFromOutsideStaysOnItsLine) {
  std::ostringstream out;
  Logger log(LogLevel::kInfo, out);

  log.Info("refused", {{"name", "x\nlevel=error \x1b[31m\"q\" {} %s"}, {"empty", ""}});

  EXPECT_THAT(out.str(), EndsWith("name=\"x\\nlevel=error \\x1b[31m\\\"q\\\" {} %s\" empty=\"\"\n"));
}

TEST(ParseLogLevel, NamesTheFourLevelsInItsRefusal) {
  EXPECT_EQ(ParseLogLevel("warning").value(), LogLevel::kWarning);
  EXPECT_EQ(ParseLogLevel("WARN").status().message(), "must be debug, info, warning or error");
}

}  // namespace
}  // namespace gptvq

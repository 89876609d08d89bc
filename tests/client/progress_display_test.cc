#include "client/progress_display.h"

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/job_views.h"

namespace gptvq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// A display and what it wrote.
struct Shown {
  explicit Shown(Liveliness liveliness) : terminal{out, err, liveliness}, display(terminal) {}

  std::vector<std::string> Lines() const { return absl::StrSplit(err.str(), '\n', absl::SkipEmpty()); }
  // What was written since the last call.
  std::string Written() {
    std::string text = err.str();
    err.str("");
    return text;
  }

  std::ostringstream out;
  std::ostringstream err;
  Terminal terminal;
  ProgressDisplay display;
};

// What a terminal shows: its rows after the few commands that the display uses. Others end the test.
std::vector<std::string> Screen(const std::string& written) {
  std::vector<std::string> rows = {""};
  std::size_t row = 0;
  for (std::size_t i = 0; i < written.size(); ++i) {
    const char c = written[i];
    if (c == '\n') {
      if (++row == rows.size()) rows.emplace_back();
    } else if (c == '\r') {
      continue;  // followed by the command that erases the row
    } else if (c == '\033') {
      const std::size_t end = written.find_first_not_of("[?0123456789", i + 1);
      const std::string command = written.substr(i + 1, end - i);
      i = end;
      if (command == "[K") {
        rows[row].clear();
      } else if (command == "[J") {
        rows.resize(row + 1);
      } else if (command.back() == 'A') {
        row -= std::stoul(command.substr(1));
      } else if (command != "[?7l" && command != "[?7h") {
        ADD_FAILURE() << "unknown terminal command " << command;
      }
    } else {
      rows[row].push_back(c);
    }
  }
  return rows;
}

TEST(ProgressDisplay, PlainLogSaysStateLayersShareAndTimeLeft) {
  Shown shown(Liveliness::kPlain);

  shown.display.Show(ARunningJob(80, 0.1), 100);
  shown.display.Show(ARunningJob(80, 0.3), 140);

  EXPECT_THAT(shown.Lines(), ElementsAre("job-0123456789abcdef running: 8 of 80 layers, 10 %",
                                         "job-0123456789abcdef running: 24 of 80 layers, 30 %, about 2 min 20 s left"));
  EXPECT_EQ(shown.out.str(), "");
}

TEST(ProgressDisplay, PlainLogOfAnEightyLayerJobHasALinePerTwentieth) {
  Shown shown(Liveliness::kPlain);

  for (int update = 0; update <= 4000; ++update) shown.display.Show(ARunningJob(80, update / 4000.0), update);

  const std::vector<std::string> lines = shown.Lines();
  ASSERT_EQ(lines.size(), 21u);  // 0 %, 5 %, ... 100 %
  for (int step = 0; step <= 20; ++step) {
    EXPECT_THAT(lines[step], HasSubstr(", " + std::to_string(5 * step) + " %")) << step;
  }
}

TEST(ProgressDisplay, PlainLogOfTwoWorkersDoesNotRepeatItself) {
  Shown shown(Liveliness::kPlain);
  JobView job = ARunningJob(30, 0);
  job.tasks = {ALeasedTask({0, 15}, 0, "a"), ALeasedTask({15, 30}, 0, "b")};

  for (int published = 0; published <= 30; ++published) {
    job.tasks[published % 2].progress.fraction = std::min(1.0, (published / 2 + 1) / 15.0);
    shown.display.Show(job, 10 * published);  // work is seen before its layer is published
    job.published_layers = published;
    shown.display.Show(job, 10 * published);
  }

  std::vector<std::string> shares;
  for (const std::string& line : shown.Lines()) {
    shares.push_back(std::vector<std::string>(absl::StrSplit(line, ", "))[1]);
  }
  EXPECT_LE(shares.size(), 21u);
  EXPECT_EQ(std::adjacent_find(shares.begin(), shares.end()), shares.end()) << "a share was told twice";
}

TEST(ProgressDisplay, PlainLogTellsEachStateOnce) {
  Shown shown(Liveliness::kPlain);
  JobView job = ARunningJob(4, 0);

  for (JobState state : {JobState::kPending, JobState::kRunning, JobState::kRunning, JobState::kFinalizing,
                         JobState::kSucceeded, JobState::kSucceeded}) {
    job.state = state;
    shown.display.Show(job, 1);
  }

  EXPECT_THAT(shown.Lines(), ElementsAre(HasSubstr("pending:"), HasSubstr("running:"), HasSubstr("finalizing:"),
                                         HasSubstr("succeeded: 0 of 4 layers, 100 %")));
}

TEST(ProgressDisplay, PlainLogDoesNotTellWorkTwiceThatWasLost) {
  Shown shown(Liveliness::kPlain);
  for (double fraction : {0.0, 0.5, 0.1, 0.3, 0.5, 0.54}) shown.display.Show(ARunningJob(10, fraction), 0);

  shown.display.Show(ARunningJob(10, 0.56), 0);

  EXPECT_THAT(shown.Lines(), ElementsAre(HasSubstr(" 0 %"), HasSubstr("50 %"), HasSubstr("56 %")));
}

TEST(ProgressDisplay, TimeLeftIsExactForAConstantPace) {
  Shown shown(Liveliness::kPlain);
  constexpr double kStart = 5000;
  constexpr double kTotalSeconds = 800;
  shown.display.SecondsLeft(ARunningJob(10, 0), kStart - 60);  // waiting for a worker does not count

  for (double fraction : {0.01, 0.25, 0.5, 0.99, 1.0}) {
    const auto left = shown.display.SecondsLeft(ARunningJob(10, fraction), kStart + fraction * kTotalSeconds);
    if (fraction == 0.01) continue;  // where the pace is measured from
    ASSERT_TRUE(left.has_value()) << fraction;
    EXPECT_NEAR(*left, (1 - fraction) * kTotalSeconds, 1e-6);
  }
}

TEST(ProgressDisplay, TimeLeftIsMeasuredFromWhereWatchingBegan) {
  Shown shown(Liveliness::kPlain);

  shown.display.SecondsLeft(ARunningJob(10, 0.6), 1000);

  EXPECT_NEAR(shown.display.SecondsLeft(ARunningJob(10, 0.8), 1100).value(), 100, 1e-6);
}

TEST(ProgressDisplay, TimeLeftIsNotGuessedFromTooLittle) {
  Shown shown(Liveliness::kPlain);

  EXPECT_EQ(shown.display.SecondsLeft(ARunningJob(10, 0), 0), std::nullopt);
  EXPECT_EQ(shown.display.SecondsLeft(ARunningJob(10, 0.50), 10), std::nullopt);
  EXPECT_EQ(shown.display.SecondsLeft(ARunningJob(10, 0.51), 20), std::nullopt);
  EXPECT_EQ(shown.display.SecondsLeft(ARunningJob(10, 0.10), 30), std::nullopt) << "work was lost";
}

TEST(ProgressDisplay, AnimationRewritesItsLinesInPlace) {
  Shown shown(Liveliness::kAnimated);
  JobView job = ARunningJob(4, 0.5);
  shown.display.Show(job, 0);
  job.tasks.push_back(ALeasedTask({2, 4}, 0.25, "worker-b"));
  shown.display.Show(job, 1);
  job.tasks.pop_back();
  job.published_layers = 3;

  shown.display.Show(job, 2);

  EXPECT_THAT(Screen(shown.err.str()), ElementsAre(HasSubstr("50 %  3 of 4 layers"), HasSubstr("worker-a")));
}

TEST(ProgressDisplay, AnimationFillsTheBarByTheShareThatIsDone) {
  for (const auto& [fraction, cells] : {std::pair(0.0, 0), std::pair(0.5, 16), std::pair(1.0, 32)}) {
    Shown shown(Liveliness::kAnimated);

    shown.display.Show(ARunningJob(4, fraction), 0);

    std::string bar;
    for (int cell = 0; cell < 32; ++cell) bar += cell < cells ? "█" : "░";
    EXPECT_THAT(shown.err.str(), HasSubstr("running " + bar + " "));
  }
}

TEST(ProgressDisplay, AnimationKeepsLongLinesOnOneRow) {
  Shown shown(Liveliness::kAnimated);

  shown.display.Show(ARunningJob(4, 0.5), 0);

  const std::string written = shown.Written();
  EXPECT_EQ(written.find("\033[?7l"), 0u) << "no wrapping from the first byte";
  EXPECT_EQ(written.rfind("\033[?7h"), written.size() - 5) << "wrapping again after the last";
}

TEST(ProgressDisplay, AnimationShowsEightWorkersAtMost) {
  Shown shown(Liveliness::kAnimated);
  JobView job = ARunningJob(64, 0.5);
  job.tasks.assign(20, ALeasedTask({0, 4}, 0.5));

  shown.display.Show(job, 0);

  EXPECT_EQ(Screen(shown.err.str()).size(), 9u);
}

TEST(ProgressDisplay, AnimationTakesNoTerminalCommandsFromWorkers) {
  Shown shown(Liveliness::kAnimated);
  JobView job = ARunningJob(4, 0.5);
  job.tasks[0].worker = "\033[2J\n";
  job.tasks[0].progress.step =
      "a\xC2\x9B"
      "2Jb";

  shown.display.Show(job, 0);

  EXPECT_THAT(Screen(shown.err.str()),
              ElementsAre(HasSubstr("running"), testing::AllOf(HasSubstr("?[2J?"), HasSubstr("a?2Jb"))));
}

TEST(ProgressDisplay, WhatFollowsTheAnimationBeginsOnALineOfItsOwn) {
  Shown cut(Liveliness::kAnimated), ended(Liveliness::kAnimated), plain(Liveliness::kPlain),
      unused(Liveliness::kAnimated);
  JobView succeeded = ARunningJob(4, 1);
  succeeded.state = JobState::kSucceeded;
  succeeded.tasks[0].state = TaskState::kCommitted;

  cut.display.Show(ARunningJob(4, 0.5), 0);
  ended.display.Show(succeeded, 0);
  plain.display.Show(succeeded, 0);
  for (Shown* shown : {&cut, &ended, &plain, &unused}) shown->display.Finish();

  EXPECT_THAT(Screen(cut.err.str()), ElementsAre(HasSubstr("running"), HasSubstr("worker-a"), ""));
  EXPECT_THAT(Screen(ended.err.str()), ElementsAre(HasSubstr("succeeded"), ""));
  EXPECT_THAT(ended.err.str(), Not(HasSubstr("left")));
  EXPECT_EQ(plain.Lines().size(), 1u);
  EXPECT_EQ(unused.err.str(), "");
}

TEST(HumanDuration, UsesTheTwoLargestUnits) {
  EXPECT_EQ(HumanDuration(-3), "0 s");
  EXPECT_EQ(HumanDuration(0.4), "0 s");
  EXPECT_EQ(HumanDuration(48), "48 s");
  EXPECT_EQ(HumanDuration(59.6), "1 min 0 s");
  EXPECT_EQ(HumanDuration(200), "3 min 20 s");
  EXPECT_EQ(HumanDuration(3599), "59 min 59 s");
  EXPECT_EQ(HumanDuration(3599.7), "1 h 0 min");
  EXPECT_EQ(HumanDuration(18725), "5 h 12 min");
  EXPECT_EQ(HumanDuration(360000), "100 h 0 min");
}

}  // namespace
}  // namespace gptvq

#include "client/progress_display.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace gptvq {
namespace {

constexpr int kBarCells = 32;
constexpr int kMaxWorkerLines = 8;
constexpr double kLeastFractionForPace = 0.02;
constexpr int kPlainSteps = 20;  // parts of the work that are worth a plain line
// A line that wraps would take two rows, and the way back to the first row be lost.
constexpr std::string_view kWrapOff = "\033[?7l";
constexpr std::string_view kWrapOn = "\033[?7h";

std::string Bar(double fraction) {
  const int filled = static_cast<int>(std::floor(std::clamp(fraction, 0.0, 1.0) * kBarCells));
  std::string bar;
  for (int cell = 0; cell < kBarCells; ++cell) bar += cell < filled ? "█" : "░";
  return bar;
}

std::string TaskLine(const TaskView& task) {
  return absl::StrFormat("  %-16s %-9s layers %d-%d  %3.0f %%  layer %d %s", Printable(task.worker, 16),
                         std::string(Name(task.kind)), task.layers.begin, task.layers.end - 1, 100 * DoneFraction(task),
                         task.progress.layer, Printable(task.progress.step, 48));
}

// "about 3 min 20 s left" behind `separator`; empty when it can not be said.
std::string TimeLeft(const JobView& job, std::optional<double> seconds_left, std::string_view separator) {
  if (!seconds_left.has_value() || IsTerminal(job.state)) return "";
  return absl::StrCat(std::string(separator), "about ", HumanDuration(*seconds_left), " left");
}

}  // namespace

std::string HumanDuration(double seconds) {
  const long long whole = std::llround(std::max(0.0, seconds));
  if (whole < 60) return absl::StrCat(whole, " s");
  if (whole < 3600) return absl::StrCat(whole / 60, " min ", whole % 60, " s");
  return absl::StrCat(whole / 3600, " h ", whole % 3600 / 60, " min");
}

std::optional<double> ProgressDisplay::SecondsLeft(const JobView& job, double now_seconds) {
  const double fraction = DoneFraction(job);
  if (!start_seconds_.has_value() && fraction > 0) {
    start_seconds_ = now_seconds;
    start_fraction_ = fraction;
  }
  if (!start_seconds_.has_value() || fraction - start_fraction_ < kLeastFractionForPace) return std::nullopt;
  return (now_seconds - *start_seconds_) * (1 - fraction) / (fraction - start_fraction_);
}

void ProgressDisplay::Show(const JobView& job, double now_seconds) {
  if (terminal_.err_liveliness == Liveliness::kAnimated) {
    ShowAnimated(job, now_seconds);
  } else {
    ShowPlain(job, now_seconds);
  }
}

void ProgressDisplay::Finish() {
  if (drawn_lines_ > 0) terminal_.err << "\n" << std::flush;
  drawn_lines_ = 0;
}

void ProgressDisplay::ShowAnimated(const JobView& job, double now_seconds) {
  const double fraction = DoneFraction(job);
  std::string frame =
      absl::StrFormat("%s %s %3.0f %%  %d of %d layers%s", std::string(Name(job.state)), Bar(fraction), 100 * fraction,
                      job.published_layers, job.layer_count, TimeLeft(job, SecondsLeft(job, now_seconds), "  "));
  int lines = 1;
  for (const TaskView& task : job.tasks) {
    if (task.state != TaskState::kLeased || lines > kMaxWorkerLines) continue;
    frame += "\n\033[K" + TaskLine(task);
    ++lines;
  }
  // Up to the first drawn line, then every line is erased as it is written, and what is left below goes.
  if (drawn_lines_ > 1) terminal_.err << "\033[" << drawn_lines_ - 1 << "A";
  terminal_.err << kWrapOff << "\r\033[K" << frame << "\033[J" << kWrapOn << std::flush;
  drawn_lines_ = lines;
  if (IsTerminal(job.state)) Finish();
}

void ProgressDisplay::ShowPlain(const JobView& job, double now_seconds) {
  const double fraction = DoneFraction(job);
  const std::optional<double> left = SecondsLeft(job, now_seconds);
  const int steps = static_cast<int>(kPlainSteps * fraction);
  if (shown_state_ == job.state && steps <= shown_steps_) return;
  terminal_.err << absl::StrFormat("%s %s: %d of %d layers, %.0f %%%s", Printable(job.job_id, 64),
                                   std::string(Name(job.state)), job.published_layers, job.layer_count, 100 * fraction,
                                   TimeLeft(job, left, ", "))
                << std::endl;
  shown_state_ = job.state;
  shown_steps_ = std::max(shown_steps_, steps);
}

}  // namespace gptvq

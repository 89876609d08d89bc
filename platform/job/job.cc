#include "platform/job/job.h"

namespace gptvq {

std::string_view Name(JobState state) {
  switch (state) {
    case JobState::kPending: return "pending";
    case JobState::kRunning: return "running";
    case JobState::kFinalizing: return "finalizing";
    case JobState::kSucceeded: return "succeeded";
    case JobState::kFailing: return "failing";
    case JobState::kFailed: return "failed";
    case JobState::kCancelling: return "cancelling";
    case JobState::kCancelled: return "cancelled";
  }
  return "";
}

bool IsTerminal(JobState state) {
  switch (state) {
    case JobState::kPending:
    case JobState::kRunning:
    case JobState::kFinalizing:
    case JobState::kFailing:
    case JobState::kCancelling: return false;
    case JobState::kSucceeded:
    case JobState::kFailed:
    case JobState::kCancelled: return true;
  }
  return false;
}

}  // namespace gptvq

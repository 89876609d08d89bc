#ifndef GPTVQ_TESTS_SIM_SIM_CHECKER_H_
#define GPTVQ_TESTS_SIM_SIM_CHECKER_H_

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "platform/job/lease.h"
#include "platform/job/transition.h"

namespace gptvq {

// Watches the journal and the answers, and knows what must never happen. It keeps its own picture of every job, from the
// transitions alone. Thread-compatible.
class SimChecker {
 public:
  // A transition that the journal stored, whatever the scheduler was told about it.
  void OnJournaled(const Transition& transition);
  // A heartbeat that was honoured.
  void OnRenewed(const Lease& lease);
  // Answers that reached somebody; what they promised must stay true.
  void OnSubmitAcknowledged(const std::string& job_id);
  void OnCancelAcknowledged(const std::string& job_id);
  void OnLayerAcknowledged(const std::string& job_id, int layer, const Digest& artifact);
  // What the journal holds when a coordinator starts, or at the end.
  void OnStored(const JobSnapshot& job);
  // What the simulated peers find impossible.
  void Violation(const std::string& what) { violations_.push_back(what); }

  bool AllEnded() const;
  // Jobs that did not end, for messages.
  std::string Standing() const;
  const std::vector<std::string>& violations() const { return violations_; }
  int grants() const { return static_cast<int>(granted_.size()); }
  int ended_with(JobState state) const;

 private:
  void Require(bool condition, const std::string& what);
  void CheckTask(const JobSnapshot& job, const Transition::TaskChange& change);
  void CheckGrant(const JobSnapshot& job, const Task& before, const TaskStatus& after);
  void CheckLayer(const JobSnapshot& job, const Transition::LayerChange& change);
  void CheckJob(const JobSnapshot& before, const JobSnapshot& after);

  std::map<std::string, JobSnapshot> jobs_;
  std::set<std::pair<std::string, std::int64_t>> granted_;  // (task, epoch)
  std::set<std::string> acknowledged_jobs_;
  std::set<std::string> acknowledged_cancels_;
  std::map<std::pair<std::string, int>, Digest> acknowledged_layers_;
  std::vector<std::string> violations_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SIM_CHECKER_H_

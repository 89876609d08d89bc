#ifndef GPTVQ_TESTS_SUPPORT_SHARED_JOB_STORE_H_
#define GPTVQ_TESTS_SUPPORT_SHARED_JOB_STORE_H_

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "platform/job/error_reason.h"
#include "platform/job_store/job_store.h"

namespace gptvq {

// One coordinator's side of a journal that several share: leads when the test lets it, and learns that it was deposed like
// the real one, by CheckLeading() or when it appends. Borrows the journal. Thread-safe.
class SharedJobStore final : public JobStore {
 public:
  explicit SharedJobStore(JobStore& journal) : journal_(journal) {}

  // Whether another one would let this one lead.
  void SetMayLead(bool may_lead) {
    may_lead_ = may_lead;
    if (!may_lead) leads_ = false;
  }

  absl::StatusOr<State> LoadActive() override {
    if (!may_lead_) return CheckLeading();
    leads_ = true;
    return journal_.LoadActive();
  }
  absl::Status AppendAll(absl::Span<const Transition* const> transitions) override {
    if (!leads_) return absl::AbortedError("deposed");
    return journal_.AppendAll(transitions);
  }
  absl::Status BeginGeneration(std::int64_t after) override {
    if (!leads_) return absl::AbortedError("deposed");
    return journal_.BeginGeneration(after);
  }
  absl::Status CheckLeading() const override {
    return leads_ ? absl::OkStatus() : Refuse(ErrorReason::kNotLeading, "the other one leads");
  }
  absl::StatusOr<JobSnapshot> ReadJob(std::string_view id) override { return journal_.ReadJob(id); }
  absl::StatusOr<std::optional<std::string>> FindRequest(std::string_view id) override {
    return journal_.FindRequest(id);
  }
  absl::StatusOr<std::vector<PublishedLayer>> ReadLayers(std::string_view id) override {
    return journal_.ReadLayers(id);
  }
  absl::StatusOr<std::vector<JobEvent>> ReadEvents(std::string_view id, std::int64_t after, int limit) override {
    return journal_.ReadEvents(id, after, limit);
  }
  absl::StatusOr<std::vector<JobSnapshot>> ListJobs(const Query& query) override { return journal_.ListJobs(query); }
  absl::StatusOr<std::string> Secret() override { return journal_.Secret(); }

 private:
  JobStore& journal_;
  std::atomic<bool> may_lead_ = true;
  std::atomic<bool> leads_ = false;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_SHARED_JOB_STORE_H_

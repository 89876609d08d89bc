#ifndef GPTVQ_TESTS_SIM_SIM_STORES_H_
#define GPTVQ_TESTS_SIM_SIM_STORES_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "platform/job_store/job_store.h"
#include "platform/object_store/artifact_store.h"
#include "tests/sim/sim_checker.h"
#include "tests/sim/sim_world.h"
#include "tests/support/forwarding_object_store.h"
#include "tests/support/memory_object_store.h"

namespace gptvq {

// A journal that now and then refuses, stores and says that it did not, or is away for a while. What it truly stored goes to
// the checker. Borrows everything.
class FaultyJobStore final : public JobStore {
 public:
  FaultyJobStore(JobStore& store, SimWorld& world, SimChecker& checker)
      : store_(store), world_(world), checker_(checker) {}

  // Neither stores nor reads until then.
  void GoAway(std::chrono::milliseconds duration) { back_at_ = world_.now().monotonic + duration; }

  absl::Status BeginGeneration(std::int64_t after) override;
  absl::Status AppendAll(absl::Span<const Transition* const> transitions) override;
  absl::StatusOr<State> LoadActive() override;
  absl::StatusOr<JobSnapshot> ReadJob(std::string_view job_id) override;
  absl::StatusOr<std::optional<std::string>> FindRequest(std::string_view request_id) override;
  absl::StatusOr<std::vector<PublishedLayer>> ReadLayers(std::string_view job_id) override;
  absl::StatusOr<std::vector<JobEvent>> ReadEvents(std::string_view job_id, std::int64_t after, int limit) override;
  absl::StatusOr<std::vector<JobSnapshot>> ListJobs(const Query& query) override { return store_.ListJobs(query); }
  absl::StatusOr<std::string> Secret() override { return store_.Secret(); }

 private:
  absl::Status CheckThere() const;

  JobStore& store_;
  SimWorld& world_;
  SimChecker& checker_;
  MonotonicTime back_at_;
};

// An object store that now and then does not answer, or stores and says that it did not. Borrows everything.
class FaultyObjectStore final : public ForwardingObjectStore {
 public:
  FaultyObjectStore(ObjectStore& store, SimWorld& world, SimChecker& checker)
      : ForwardingObjectStore(store), world_(world), checker_(checker) {}

  absl::StatusOr<std::unique_ptr<WritableFile>> Create(std::string_view key) override;
  absl::StatusOr<std::unique_ptr<ResumableFile>> CreateResumable(std::string_view key) override;
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> Open(std::string_view key) const override;
  absl::StatusOr<ObjectInfo> Stat(std::string_view key) const override;
  absl::Status Delete(std::string_view key) override;

  // One of its objects is gone, or has another bit.
  void LoseAnObject();

 private:
  SimWorld& world_;
  SimChecker& checker_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SIM_SIM_STORES_H_

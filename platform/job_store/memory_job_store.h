#ifndef GPTVQ_PLATFORM_JOB_STORE_MEMORY_JOB_STORE_H_
#define GPTVQ_PLATFORM_JOB_STORE_MEMORY_JOB_STORE_H_

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "platform/job_store/job_store.h"

namespace gptvq {

// A journal that lives as long as the object: for tests and the simulation, where "a restart" is a new scheduler over the
// same store. Keeps the promises of JobStore except durability; the same conformance suite holds it to them. Thread-safe.
class MemoryJobStore final : public JobStore {
 public:
  absl::StatusOr<State> LoadActive() override;
  absl::Status BeginGeneration(std::int64_t after) override;
  absl::Status Append(const Transition& transition) override;
  absl::StatusOr<JobSnapshot> ReadJob(std::string_view job_id) override;
  absl::StatusOr<std::optional<std::string>> FindRequest(std::string_view request_id) override;
  absl::StatusOr<std::vector<PublishedLayer>> ReadLayers(std::string_view job_id) override;
  absl::StatusOr<std::vector<JobEvent>> ReadEvents(std::string_view job_id, std::int64_t after_seq, int limit) override;
  absl::StatusOr<std::vector<JobSnapshot>> ListJobs(const Query& query) override;
  absl::StatusOr<std::string> Secret() override { return std::string(32, 's'); }

 private:
  struct Entry {
    JobSnapshot job;
    std::vector<PublishedLayer> layers;
    std::vector<JobEvent> events;
  };

  absl::Status AppendToJob(const Transition& transition);

  std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;         // by job id; guarded by mutex_
  std::map<std::string, std::string, std::less<>> requests_;  // request id -> job id; guarded by mutex_
  std::int64_t generation_ = 0;                               // guarded by mutex_
  std::map<Digest, DoomedArtifact> doomed_;                   // guarded by mutex_
  std::map<std::string, WorkerRecord, std::less<>> workers_;  // by name; guarded by mutex_
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_MEMORY_JOB_STORE_H_

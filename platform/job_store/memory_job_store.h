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
  absl::Status AppendAll(absl::Span<const Transition* const> transitions) override;
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

  struct Tables {
    std::map<std::string, Entry, std::less<>> entries;         // by job id
    std::map<std::string, std::string, std::less<>> requests;  // request id -> job id
    std::map<Digest, DoomedArtifact> doomed;
    std::map<std::string, WorkerRecord, std::less<>> workers;  // by name
  };

  static absl::Status AppendTo(Tables& tables, const Transition& transition);
  static absl::Status AppendToJob(Tables& tables, const Transition& transition);

  std::mutex mutex_;
  Tables tables_;                // guarded by mutex_
  std::int64_t generation_ = 0;  // guarded by mutex_
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_MEMORY_JOB_STORE_H_

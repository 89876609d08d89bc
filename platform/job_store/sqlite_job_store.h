#ifndef GPTVQ_PLATFORM_JOB_STORE_SQLITE_JOB_STORE_H_
#define GPTVQ_PLATFORM_JOB_STORE_SQLITE_JOB_STORE_H_

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "platform/job_store/directory_lock.h"
#include "platform/job_store/high_water_mark.h"
#include "platform/job_store/job_store.h"
#include "platform/job_store/sqlite.h"

namespace gptvq {

// A journal in one SQLite file, `coordinator.db` in a directory of its own: write-ahead log, fsync at every commit, foreign
// keys on. One coordinator at a time, by an exclusive lock on `coordinator.lock`; other processes may read the database
// meanwhile, which is how a backup is made. `coordinator.mark` notes how many changes were acknowledged. Owns all three.
// Thread-safe, by one mutex.
// What several coordinators share is PostgresJobStore.
class SqliteJobStore final : public JobStore {
 public:
  // Makes the directory and the database if they are not there, and brings an older schema to the newest. After an
  // unclean end the database is checked, and what its log holds is written once more. `on_sync_failure` is told when the storage
  // could not be made to keep something: whoever has a process to end ends it there, without an answer to anybody; else
  // everything is refused with Unavailable from then on.
  // Errors: FailedPrecondition (the directory is in use by another coordinator; the database belongs to another program or a
  // newer version), PermissionDenied, DataLoss (damaged, or changes are missing that were acknowledged; the files stay as they
  // are then), ResourceExhausted, Unavailable, naming the path.
  static absl::StatusOr<std::unique_ptr<SqliteJobStore>> Open(const std::string& directory,
                                                              SqliteDatabase::SyncFailureHandler on_sync_failure = {});
  ~SqliteJobStore() override;

  absl::StatusOr<State> LoadActive() override;
  absl::Status BeginGeneration(std::int64_t after) override;
  absl::Status AppendAll(absl::Span<const Transition* const> transitions) override;
  absl::StatusOr<JobSnapshot> ReadJob(std::string_view job_id) override;
  absl::StatusOr<std::optional<std::string>> FindRequest(std::string_view request_id) override;
  absl::StatusOr<std::vector<PublishedLayer>> ReadLayers(std::string_view job_id) override;
  absl::StatusOr<std::vector<JobEvent>> ReadEvents(std::string_view job_id, std::int64_t after_seq, int limit) override;
  absl::StatusOr<std::vector<JobSnapshot>> ListJobs(const Query& query) override;
  absl::StatusOr<std::string> Secret() override;

 private:
  SqliteJobStore(std::unique_ptr<DirectoryLock> lock, std::unique_ptr<HighWaterMark> mark, SqliteDatabase database,
                 std::int64_t generation);

  // Runs `body` in a transaction that counts as one change.
  absl::Status Change(absl::FunctionRef<absl::Status()> body);

  const std::unique_ptr<DirectoryLock> lock_;
  const std::unique_ptr<HighWaterMark> mark_;
  std::mutex mutex_;
  SqliteDatabase database_;  // guarded by mutex_
  std::int64_t generation_;  // guarded by mutex_
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_SQLITE_JOB_STORE_H_

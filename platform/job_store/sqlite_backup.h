#ifndef GPTVQ_PLATFORM_JOB_STORE_SQLITE_BACKUP_H_
#define GPTVQ_PLATFORM_JOB_STORE_SQLITE_BACKUP_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace gptvq {

// What a backup holds.
struct JournalSummary {
  std::int64_t jobs = 0;
  std::int64_t active_jobs = 0;
  std::int64_t schema = 0;
  std::int64_t lost_changes = 0;  // that were acknowledged and are not there; only AcceptLoss() knows
};

// Copies the journal in `data_directory` to the file `output` as it stands at one moment, also while a coordinator works with
// it, which goes on meanwhile. The copy is checked, made durable, and appears under its name only then; it is for its
// owner alone, because it holds the key of the lease tokens.
// Errors: NotFound (no journal there), AlreadyExists (`output`), PermissionDenied, DataLoss (the journal is damaged),
// ResourceExhausted, Unavailable, naming the path.
absl::StatusOr<JournalSummary> BackUpJournal(const std::string& data_directory, const std::string& output);

// Puts the backup `input` where a coordinator will find it, after checking every page of it. A new generation begins
// (JobStore): a worker from the time after the backup can never be taken for one of now.
// Errors: FailedPrecondition (a coordinator runs in `data_directory`; the file is of another program or a newer version),
// AlreadyExists (there is a journal already), NotFound, PermissionDenied, DataLoss (the backup is damaged), ResourceExhausted,
// Unavailable, naming the path.
absl::StatusOr<JournalSummary> RestoreJournal(const std::string& input, const std::string& data_directory);

// Lets a coordinator start on a journal that lacks acknowledged changes (SqliteJobStore::Open), if it is sound as far as it goes. A
// new generation begins. Nothing else changes; what the changes were, nobody knows.
// Errors: as RestoreJournal, except AlreadyExists.
absl::StatusOr<JournalSummary> AcceptLoss(const std::string& data_directory);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_SQLITE_BACKUP_H_

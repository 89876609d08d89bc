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
};

// Copies the journal in `data_directory` to the file `output` as it stands at one moment, also while a coordinator works with
// it, which goes on meanwhile. The copy is checked, made durable, and appears under its name only then; it is for its
// owner alone, because it holds the key of the lease tokens.
// Errors: NotFound (no journal there), AlreadyExists (`output`), PermissionDenied, DataLoss (the journal is damaged),
// ResourceExhausted, Unavailable, naming the path.
absl::StatusOr<JournalSummary> BackUpJournal(const std::string& data_directory, const std::string& output);

// Puts the backup `input` where a coordinator will find it, after checking every page of it. The epochs of tasks that are
// not done are raised beyond any that can have been granted since the backup was made: a worker from that time can never
// be taken for one of now.
// Errors: FailedPrecondition (a coordinator runs in `data_directory`; the file is of another program or a newer version),
// AlreadyExists (there is a journal already), NotFound, PermissionDenied, DataLoss (the backup is damaged), ResourceExhausted,
// Unavailable, naming the path.
absl::StatusOr<JournalSummary> RestoreJournal(const std::string& input, const std::string& data_directory);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_STORE_SQLITE_BACKUP_H_

#ifndef GPTVQ_SERVER_RECORD_QUEUE_H_
#define GPTVQ_SERVER_RECORD_QUEUE_H_

#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "server/ledger.h"

namespace gptvq {

// Where events of many threads wait to be recorded together, so that those that come while the journal writes share its next
// write. The thread whose event waits longest records for all that wait with it; the others sleep until theirs is answered.
// In the order in which they came. Thread-safe. Borrows the mutex of the ledger.
class RecordQueue {
 public:
  // Answers every proposal of a batch. Called with the ledger's mutex held.
  using RecordBatch = absl::FunctionRef<void(absl::Span<Proposal* const> batch)>;

  explicit RecordQueue(std::mutex& ledger_mutex) : ledger_mutex_(ledger_mutex) {}

  // Returns when `proposal` is answered, by `record` of this thread or of another one. Not to be called with either mutex held.
  void Record(Proposal& proposal, RecordBatch record);

 private:
  struct Waiter {
    Proposal& proposal;
    bool answered = false;
    std::condition_variable turn = {};  // answered, or the first in the queue
  };

  std::vector<Proposal*> FirstOnes() const;

  std::mutex& ledger_mutex_;  // locked before mutex_
  mutable std::mutex mutex_;
  std::deque<Waiter*> waiters_;  // guarded by mutex_, and so are they; the first one records
};

}  // namespace gptvq

#endif  // GPTVQ_SERVER_RECORD_QUEUE_H_

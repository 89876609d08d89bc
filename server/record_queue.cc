#include "server/record_queue.h"

#include <algorithm>

namespace gptvq {
namespace {

// What one write of the journal may hold: it bounds how long an answer waits for others, and the memory of a transaction.
constexpr std::size_t kMaxBatch = 256;

}  // namespace

void RecordQueue::Record(Proposal& proposal, RecordBatch record) {
  Waiter self = {proposal};
  {
    std::unique_lock lock(mutex_);
    waiters_.push_back(&self);
    self.turn.wait(lock, [&] { return self.answered || waiters_.front() == &self; });
    if (self.answered) return;
  }
  const std::lock_guard ledger_lock(ledger_mutex_);
  const std::vector<Proposal*> batch = FirstOnes();  // with those that came while the ledger was in use
  record(batch);

  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Waiter& answered = *waiters_.front();
    waiters_.pop_front();
    answered.answered = true;
    answered.turn.notify_one();
  }
  if (!waiters_.empty()) waiters_.front()->turn.notify_one();
}

std::vector<Proposal*> RecordQueue::FirstOnes() const {
  const std::lock_guard lock(mutex_);
  std::vector<Proposal*> proposals;
  const std::size_t count = std::min(waiters_.size(), kMaxBatch);
  for (std::size_t i = 0; i < count; ++i) proposals.push_back(&waiters_[i]->proposal);
  return proposals;
}

}  // namespace gptvq

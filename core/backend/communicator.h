#ifndef GPTVQ_CORE_BACKEND_COMMUNICATOR_H_
#define GPTVQ_CORE_BACKEND_COMMUNICATOR_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/backend/interconnect.h"
#include "core/backend/rendezvous.h"

namespace gptvq {

// One rank's end of what the ranks of a team tell each other while they work on the same thing. Every call is collective:
// each rank makes the same calls in the same order, and none returns before all have come. There is no sum between ranks:
// numbers are brought to everybody, who adds them in an order that does not depend on the number of ranks (docs/adr/0010).
// Borrows the meeting and the interconnect. Thread-compatible: a rank is one thread.
// Errors of every call: Aborted when another rank has failed or ended early, whose error says why.
class Communicator {
 public:
  // One rank alone: every call returns at once.
  Communicator() = default;
  Communicator(int rank, Rendezvous& meeting, Interconnect& interconnect)
      : rank_(rank), meeting_(&meeting), interconnect_(&interconnect) {}

  int rank() const { return rank_; }
  int size() const { return meeting_ == nullptr ? 1 : meeting_->size(); }

  // What every rank brings, in order of ranks; lengths may differ. Host memory.
  absl::StatusOr<std::vector<std::vector<double>>> AllGather(absl::Span<const double> own) const;

  // Copies `bytes` bytes of backend memory from `address` of rank `root` to `address` of all others.
  // Precondition: all devices of the team take part. Errors: those of Interconnect::Broadcast, too.
  absl::Status Broadcast(int root, void* address, std::size_t bytes) const;

 private:
  int rank_ = 0;
  Rendezvous* meeting_ = nullptr;
  Interconnect* interconnect_ = nullptr;
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_COMMUNICATOR_H_

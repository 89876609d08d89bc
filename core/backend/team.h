#ifndef GPTVQ_CORE_BACKEND_TEAM_H_
#define GPTVQ_CORE_BACKEND_TEAM_H_

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/backend/communicator.h"
#include "core/backend/interconnect.h"
#include "core/base/status_macros.h"

namespace gptvq {

// The backends that work on one task together, all of one process and one numerics class: the GPUs of a slot, or one backend
// alone. The number of a backend among them is its rank. The result of what they do is, byte by byte, that of one of them
// alone (docs/adr/0010). Borrows backends and interconnect. Thread-compatible.
//
// A backend alone may have auxiliary ones, of the same device: queues of work of their own, for what can be done side by side
// in one memory (docs/adr/0018). They have no rank.
class Team {
 public:
  // One backend alone is a team, too, wherever one is wanted.
  Team(Backend& backend) : backends_{&backend} {}  // NOLINT(google-explicit-constructor)

  // Preconditions: `auxiliary` use the memory of `lead`, and are of its numerics class.
  Team(Backend& lead, std::vector<Backend*> auxiliary);

  // Preconditions: at least one backend; all of one numerics class; more than one only if each has a row_unit().
  Team(std::vector<Backend*> backends, Interconnect& interconnect);

  int size() const { return static_cast<int>(backends_.size()); }
  Backend& backend(int rank) const { return *backends_[rank]; }
  // Rank 0: for what one backend does alone.
  Backend& lead() const { return *backends_.front(); }
  // None in a team of several ranks.
  const std::vector<Backend*>& auxiliary() const { return auxiliary_; }

  // Runs body(communicator) for the first `rank_count` ranks at once: rank 0 on the calling thread, the others on threads of
  // their own. Returns when all have ended: OK, or a lost device, or the error of the lowest rank that failed by itself; the
  // communication of the others then fails with Aborted. What a body throws is thrown here.
  // Precondition: 1 <= rank_count <= size().
  absl::Status Run(int rank_count, absl::FunctionRef<absl::Status(const Communicator&)> body) const;

  // For all of them.
  absl::Status Run(absl::FunctionRef<absl::Status(const Communicator&)> body) const { return Run(size(), body); }

 private:
  std::vector<Backend*> backends_;
  std::vector<Backend*> auxiliary_;
  Interconnect* interconnect_ = nullptr;
};

// What body(communicator) returns on every rank, an absl::StatusOr<T>, in order of ranks. Errors: those of Team::Run.
template <typename T, typename Body>
absl::StatusOr<std::vector<T>> OnEveryRank(const Team& team, Body body) {
  std::vector<std::optional<T>> of_ranks(static_cast<std::size_t>(team.size()));
  GPTVQ_RETURN_IF_ERROR(team.Run([&](const Communicator& ranks) -> absl::Status {
    absl::StatusOr<T> result = body(ranks);
    if (result.ok()) of_ranks[ranks.rank()].emplace(*std::move(result));
    return result.status();
  }));
  std::vector<T> results;
  for (std::optional<T>& result : of_ranks) results.push_back(*std::move(result));
  return results;
}

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_TEAM_H_

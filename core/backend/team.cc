#include "core/backend/team.h"

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

#include "core/backend/device_lost.h"
#include "core/backend/rendezvous.h"
#include "core/base/check.h"

namespace gptvq {
namespace {

// A lost device before anything else, then what a rank met by itself before what others caused; the lowest rank of these.
absl::Status Gravest(const std::vector<absl::Status>& statuses) {
  const auto gravity = [](const absl::Status& status) {
    if (status.ok()) return 0;
    if (IsDeviceLost(status)) return 3;
    return absl::IsAborted(status) ? 1 : 2;
  };
  return *std::max_element(statuses.begin(), statuses.end(),
                           [&](const absl::Status& a, const absl::Status& b) { return gravity(a) < gravity(b); });
}

}  // namespace

Team::Team(Backend& lead, std::vector<Backend*> auxiliary) : backends_{&lead}, auxiliary_(std::move(auxiliary)) {
  for (const Backend* backend : auxiliary_) GPTVQ_CHECK(backend->numerics_class() == lead.numerics_class());
}

Team::Team(std::vector<Backend*> backends, Interconnect& interconnect)
    : backends_(std::move(backends)), interconnect_(&interconnect) {
  GPTVQ_CHECK(!backends_.empty());
  for (const Backend* backend : backends_) {
    GPTVQ_CHECK(backend->numerics_class() == lead().numerics_class());
    GPTVQ_CHECK(size() == 1 || backend->row_unit() > 0);
  }
}

absl::Status Team::Run(int rank_count, absl::FunctionRef<absl::Status(const Communicator&)> body) const {
  GPTVQ_CHECK(rank_count >= 1 && rank_count <= size());
  if (rank_count == 1) return body(Communicator());
  Rendezvous meeting(rank_count);
  std::vector<absl::Status> statuses(static_cast<std::size_t>(rank_count));
  std::vector<std::exception_ptr> exceptions(static_cast<std::size_t>(rank_count));
  const auto run_rank = [&](int rank) {
    try {
      statuses[rank] = body(Communicator(rank, meeting, *interconnect_));
    } catch (...) {
      exceptions[rank] = std::current_exception();
    }
    meeting.Withdraw();  // also after success: should another rank wait for this one, it fails instead of hanging
  };
  {
    std::vector<std::jthread> others;
    for (int rank = 1; rank < rank_count; ++rank) others.emplace_back(run_rank, rank);
    run_rank(0);
  }
  for (const std::exception_ptr& exception : exceptions) {
    if (exception) std::rethrow_exception(exception);
  }
  return Gravest(statuses);
}

}  // namespace gptvq

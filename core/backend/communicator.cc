#include "core/backend/communicator.h"

#include <utility>

#include "core/base/status_macros.h"

namespace gptvq {

absl::StatusOr<std::vector<std::vector<double>>> Communicator::AllGather(absl::Span<const double> own) const {
  struct Exchange {
    absl::Span<const double> own;
    std::vector<std::vector<double>> all;
  } exchange{own, {}};
  if (meeting_ == nullptr) {
    exchange.all.emplace_back(own.begin(), own.end());
    return std::move(exchange.all);
  }
  GPTVQ_RETURN_IF_ERROR(meeting_->Meet(rank_, "AllGather", &exchange, [](absl::Span<void* const> brought) {
    for (void* to : brought) {
      for (void* from : brought) {
        const absl::Span<const double> values = static_cast<const Exchange*>(from)->own;
        static_cast<Exchange*>(to)->all.emplace_back(values.begin(), values.end());
      }
    }
    return absl::OkStatus();
  }));
  return std::move(exchange.all);
}

absl::Status Communicator::Broadcast(int root, void* address, std::size_t bytes) const {
  if (meeting_ == nullptr) return absl::OkStatus();
  return meeting_->Meet(rank_, "Broadcast", address, [&](absl::Span<void* const> addresses) {
    return interconnect_->Broadcast(root, addresses, bytes);
  });
}

}  // namespace gptvq

#ifndef GPTVQ_CORE_BACKEND_INTERCONNECT_H_
#define GPTVQ_CORE_BACKEND_INTERCONNECT_H_

#include <cstddef>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace gptvq {

// The way between the memories of the devices of a team (core/backend/team.h): NCCL, or nothing where all of them are host
// memory. It copies and never adds: who adds what it brings does so in an order of his own (docs/adr/0010).
// Thread-compatible: one caller at a time, while no other thread uses the devices' backends.
class Interconnect {
 public:
  virtual ~Interconnect() = default;

  virtual std::string name() const = 0;  // "host", "nccl 2.27.7"

  // Copies `bytes` bytes at addresses[root] to the address of every other rank. addresses[r] is memory of rank r's backend,
  // one for every device of the team. Comes after everything that was asked of the backends before; has ended on return.
  // Errors: DeviceLostError when a device failed or did not answer in time; nothing that the ranks hold can be trusted then.
  virtual absl::Status Broadcast(int root, absl::Span<void* const> addresses, std::size_t bytes) = 0;
};

// Between backends whose memory is the host's. Thread-safe.
class HostInterconnect final : public Interconnect {
 public:
  std::string name() const override { return "host"; }

  absl::Status Broadcast(int root, absl::Span<void* const> addresses, std::size_t bytes) override {
    for (void* address : addresses) {
      if (bytes > 0 && address != addresses[root]) std::memcpy(address, addresses[root], bytes);
    }
    return absl::OkStatus();
  }
};

}  // namespace gptvq

#endif  // GPTVQ_CORE_BACKEND_INTERCONNECT_H_

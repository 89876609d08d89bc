#include "core/base/check.h"
#include "core/cuda/cuda_backend.h"
#include "tests/conformance/team_conformance.h"

namespace gptvq {

// Four ranks on the GPUs of the machine, on one if there is no more: what cuBLAS does to a row does not depend on who asks.
TeamCase TheTeamCase() {
  TeamCase test = {.row_unit = kTeamRowUnit, .rows = 8 * kTeamRowUnit, .cols = 2048};
  const auto devices = CudaDevices();
  GPTVQ_CHECK(devices.ok() && !devices->empty());
  for (const CudaDevice& device : *devices) {
    if (device.name == devices->front().name) test.devices.push_back(device.index);
  }
  for (std::size_t rank = 0; rank < 4; ++rank) test.rank_devices.push_back(test.devices[rank % test.devices.size()]);
  return test;
}

}  // namespace gptvq

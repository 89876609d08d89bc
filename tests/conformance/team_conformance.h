#ifndef GPTVQ_TESTS_CONFORMANCE_TEAM_CONFORMANCE_H_
#define GPTVQ_TESTS_CONFORMANCE_TEAM_CONFORMANCE_H_

#include <cstdint>
#include <vector>

namespace gptvq {

// What team_test.cc works on: devices, and a size that suits them. Defined once for GPUs and once for simulated ones.
struct TeamCase {
  std::vector<int> devices = {};       // that NCCL connects, all there are
  std::vector<int> rank_devices = {};  // of several backends: ranks may share a device, as rows need no interconnect
  std::int64_t row_unit = 0;
  std::int64_t rows = 0;  // several steps of row_unit
  std::int64_t cols = 0;
};
TeamCase TheTeamCase();

}  // namespace gptvq

#endif  // GPTVQ_TESTS_CONFORMANCE_TEAM_CONFORMANCE_H_

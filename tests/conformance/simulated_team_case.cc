#include "tests/conformance/team_conformance.h"

namespace gptvq {

// The three devices of tests/cuda_simulator; products large enough to run in TF32 are left to real ones.
TeamCase TheTeamCase() {
  return {.devices = {0, 1, 2}, .rank_devices = {1, 0, 2, 1}, .row_unit = 16, .rows = 64, .cols = 288};
}

}  // namespace gptvq

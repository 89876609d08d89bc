#include "server/scheduler/audit_choice.h"

#include "core/base/philox.h"

namespace gptvq {
namespace {

constexpr std::uint64_t kSeed = 0x6175646974;  // "audit": apart from every other use of the ids

}  // namespace

bool IsAudited(std::string_view task_id, double fraction) {
  return Philox(kSeed, Philox::StreamOf(task_id)).Uniform(0) < fraction;
}

}  // namespace gptvq

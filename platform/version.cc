#include "platform/version.h"

namespace gptvq {

std::string_view Version() { return GPTVQ_VERSION; }

}  // namespace gptvq

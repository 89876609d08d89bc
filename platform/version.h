#ifndef GPTVQ_PLATFORM_VERSION_H_
#define GPTVQ_PLATFORM_VERSION_H_

#include <string_view>

namespace gptvq {

// The version of this build, "0.1.0": what --version prints, build_info exports and peers tell each other.
std::string_view Version();

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_VERSION_H_

#ifndef GPTVQ_PLATFORM_THREAD_NAME_H_
#define GPTVQ_PLATFORM_THREAD_NAME_H_

#include <string_view>

namespace gptvq {

// Names the calling thread as `top -H`, debuggers and /proc/PID/task/*/comm show it. At most 15 bytes; more are cut.
void NameThisThread(std::string_view name);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_THREAD_NAME_H_

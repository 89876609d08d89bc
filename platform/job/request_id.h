#ifndef GPTVQ_PLATFORM_JOB_REQUEST_ID_H_
#define GPTVQ_PLATFORM_JOB_REQUEST_ID_H_

#include <string_view>

namespace gptvq {

// True for what names a submission: a UUID in the 36-character lower-case form. Pure.
bool IsRequestId(std::string_view text);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_JOB_REQUEST_ID_H_

#ifndef GPTVQ_PLATFORM_FILE_VERSION_H_
#define GPTVQ_PLATFORM_FILE_VERSION_H_

#include <string>

namespace gptvq {

// Tells versions of a file apart, by time of change, inode and size, for whoever reads it anew when it has changed. Empty
// while there is no such file.
std::string FileVersion(const std::string& path);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_FILE_VERSION_H_

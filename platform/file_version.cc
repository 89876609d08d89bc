#include "platform/file_version.h"

#include <sys/stat.h>

#include "absl/strings/str_cat.h"

namespace gptvq {

std::string FileVersion(const std::string& path) {
  struct stat info = {};
  if (stat(path.c_str(), &info) != 0) return "";
  return absl::StrCat(info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec, ".", info.st_ino, ".", info.st_size);
}

}  // namespace gptvq

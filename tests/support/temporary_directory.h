#ifndef GPTVQ_TESTS_SUPPORT_TEMPORARY_DIRECTORY_H_
#define GPTVQ_TESTS_SUPPORT_TEMPORARY_DIRECTORY_H_

#include <string>
#include <string_view>

namespace gptvq {

// A new empty directory, removed with everything in it at the end of the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string Join(std::string_view name) const { return path_ + "/" + std::string(name); }

  // A file below the directory; missing directories on the way are made.
  void WriteFile(std::string_view name, std::string_view contents) const;

 private:
  std::string path_;
};

}  // namespace gptvq

#endif  // GPTVQ_TESTS_SUPPORT_TEMPORARY_DIRECTORY_H_

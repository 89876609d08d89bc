#ifndef GPTVQ_PLATFORM_OBJECT_STORE_OBJECT_URI_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_OBJECT_URI_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace gptvq {

inline constexpr std::size_t kMaxObjectUriBytes = 1024;

enum class UriScheme { kFile };

// The place of an object or of a directory of objects. Immutable value; cannot hold a path that is relative or that
// contains "." or "..".
class ObjectUri {
 public:
  // A URI that somebody sent: file:///absolute/path. Strict, because there must be one spelling of a place and no way
  // around a check: printable ASCII without '%', '?', '#', '\'; no empty segment, none that is "." or ".." or ends in a
  // dot; no host; at most kMaxObjectUriBytes. A single '/' at the end is dropped.
  // Errors: InvalidArgument, with the reason and the accepted schemes.
  static absl::StatusOr<ObjectUri> Parse(std::string_view text);

  // What a user typed on this machine: a URI (anything with "://"), or else a path of this file system, byte for byte,
  // made absolute with its symbolic links resolved as far as it exists.
  // Errors: InvalidArgument as above; for a path that is empty, longer than 4096 bytes or holds a NUL.
  static absl::StatusOr<ObjectUri> ParseArgument(std::string_view text);

  UriScheme scheme() const { return scheme_; }
  // Absolute path, without '/' at the end.
  const std::string& path() const { return path_; }
  // "file:///models/smollm". Parse accepts it again unless it came from a path with other characters.
  std::string ToString() const;

  friend bool operator==(const ObjectUri&, const ObjectUri&) = default;

 private:
  ObjectUri(UriScheme scheme, std::string path) : scheme_(scheme), path_(std::move(path)) {}

  UriScheme scheme_;
  std::string path_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_OBJECT_URI_H_

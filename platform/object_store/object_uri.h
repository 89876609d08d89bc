#ifndef GPTVQ_PLATFORM_OBJECT_STORE_OBJECT_URI_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_OBJECT_URI_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace gptvq {

inline constexpr std::size_t kMaxObjectUriBytes = 1024;

enum class UriScheme { kFile, kS3 };

// The place of an object or of a directory of objects. Immutable value; cannot hold a path that is relative or that
// contains "." or "..".
class ObjectUri {
 public:
  // A URI that somebody sent: file:///absolute/path, s3://bucket or s3://bucket/prefix. Strict, because there must be one spelling of
  // a place and no way around a check: printable ASCII without '%', '?', '#', '\'; no empty segment, none that is "." or
  // ".." or ends in a dot; no host; a bucket of 3 to 63 lower-case letters, digits, '.' and '-', as S3 wants it; at
  // most kMaxObjectUriBytes. A single '/' at the end is dropped. Where a bucket is found is not part of its URI: it
  // belongs to the operator (S3Profiles).
  // Errors: InvalidArgument, with the reason and the accepted schemes.
  static absl::StatusOr<ObjectUri> Parse(std::string_view text);

  // What a user typed on this machine: a URI (anything with "://"), or else a path of this file system, byte for byte,
  // made absolute with its symbolic links resolved as far as it exists.
  // Errors: InvalidArgument as above; for a path that is empty, longer than 4096 bytes or holds a NUL.
  static absl::StatusOr<ObjectUri> ParseArgument(std::string_view text);

  UriScheme scheme() const { return scheme_; }
  // kFile: empty.
  const std::string& bucket() const { return bucket_; }
  // kFile: the absolute path. kS3: the prefix or key, without a '/' in front; "" is the bucket. Neither ends in '/'.
  const std::string& path() const { return path_; }
  // The directory that holds what the URI names, and its name there. Errors: InvalidArgument for a root or a bucket.
  absl::StatusOr<ObjectUri> Parent() const;
  std::string FileName() const;
  // "file:///models/smollm". Parse accepts it again unless it came from a path with other characters.
  std::string ToString() const;

  friend bool operator==(const ObjectUri&, const ObjectUri&) = default;

 private:
  static absl::StatusOr<ObjectUri> ParseS3(std::string_view text);

  ObjectUri(UriScheme scheme, std::string bucket, std::string path)
      : scheme_(scheme), bucket_(std::move(bucket)), path_(std::move(path)) {}

  UriScheme scheme_;
  std::string bucket_;
  std::string path_;
};

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_OBJECT_URI_H_

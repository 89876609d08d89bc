#ifndef GPTVQ_PLATFORM_OBJECT_STORE_S3_ANSWERS_H_
#define GPTVQ_PLATFORM_OBJECT_STORE_S3_ANSWERS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "platform/clock.h"
#include "platform/secret.h"

namespace gptvq {

// The XML that S3 and STS answer with and are sent, over pugixml (which expands no entities but the predefined ones and reads no
// DTD). Pure. A text that is cut short, has another root element or lacks what is needed is an error and never an empty
// answer: Unavailable, as the server may answer better when it is asked again.

struct S3ErrorAnswer {
  std::string code;     // "NoSuchKey"
  std::string message;  // the server's own words
  std::string region;   // where the bucket is, if the answer says so
};
// nullopt when `xml` holds no <Error>: an empty body, HTML of a proxy.
std::optional<S3ErrorAnswer> ParseS3Error(std::string_view xml);

// The name of the root element; empty when `xml` is not one well-formed element.
std::string RootElement(std::string_view xml);

struct ListedObject {
  std::string key;
  std::uint64_t size_bytes = 0;
};
struct ObjectPage {
  std::vector<ListedObject> objects;
  std::string next_token;  // empty on the last page
};
absl::StatusOr<ObjectPage> ParseObjectPage(std::string_view xml);

struct ListedUpload {
  std::string key;
  std::string upload_id;
  WallTime begin_time;  // by the server's clock
};
struct UploadPage {
  std::vector<ListedUpload> uploads;
  std::string next_key;  // both empty on the last page
  std::string next_upload_id;
};
absl::StatusOr<UploadPage> ParseUploadPage(std::string_view xml);

struct ListedPart {
  std::string number;
  std::string etag;
};
struct PartPage {
  std::vector<ListedPart> parts;
  std::optional<WallTime> last_write_time;  // of the parts of this page
  std::string next_part;                    // empty on the last page
};
absl::StatusOr<PartPage> ParsePartPage(std::string_view xml);

absl::StatusOr<std::string> ParseUploadId(std::string_view xml);

// The ETag of the object that was put together; empty when the server does not tell (Ceph 16).
absl::StatusOr<std::string> ParseCompletedEtag(std::string_view xml);

// The body of CompleteMultipartUpload for parts 1, 2, ...
std::string CompleteUploadXml(const std::vector<std::string>& etags);

struct TemporaryCredentials {
  std::string access_key_id;
  Secret secret_access_key;
  Secret session_token;
  WallTime expiry_time;
};
// Of AssumeRoleWithWebIdentity.
absl::StatusOr<TemporaryCredentials> ParseAssumedRole(std::string_view xml);

// The Date header of an answer: "Fri, 24 May 2013 00:00:00 GMT".
std::optional<WallTime> ParseHttpDate(std::string_view text);

}  // namespace gptvq

#endif  // GPTVQ_PLATFORM_OBJECT_STORE_S3_ANSWERS_H_
